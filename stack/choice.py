"""Which ports `tidegauge up` would take, as `doctor` judges them too."""

from stack import ports, state
from stack.home import Home


def choice(home: Home, text: str | None) -> dict[str, int]:
    """Return the port of each part; text: of --ports. Raises PortError.

    `auto` leaves out remembered ports that another program has taken meanwhile: it is the remedy of TG-port-taken. What
    a stack of this home listens on, also one whose supervisor was killed, is not taken.
    """
    remembered = ports.load(home)
    if text == "auto" and state.running(home) is None and not state.leftovers(home):
        remembered = {name: port for name, port in remembered.items() if ports.is_free(port)}
    return ports.parse(text, remembered)

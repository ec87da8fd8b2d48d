"""Where the stack keeps its state, and where the code and the jars lie."""

import os
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout: packages, flink-conf/ and .jars/ are beside each other."""

JARS = ROOT / ".jars"


class HomeError(OSError):
    """The folder that is to hold the state cannot be made or named."""

    def __init__(self, folder: Path | str, reason: object) -> None:
        super().__init__(f"TG-home {folder}: {reason}; --home or TIDEGAUGE_HOME names the folder of all state")


@dataclass(frozen=True, slots=True)
class Home:
    """The one folder under which all state of one stack lies; it survives down and up."""

    path: Path

    @classmethod
    def choose(cls, given: str | None) -> "Home":
        """Return the home named by --home, else by TIDEGAUGE_HOME, else .tidegauge here; raises HomeError."""
        chosen = given or os.environ.get("TIDEGAUGE_HOME") or ROOT / ".tidegauge"
        try:
            return cls(Path(chosen).expanduser().resolve())
        except RuntimeError as error:  # no such user, or a loop of links
            raise HomeError(chosen, str(error).rstrip(".")) from None

    def folder(self, *parts: str) -> Path:
        """Return a folder under the home, made if it is missing; raises HomeError."""
        folder = self.path.joinpath(*parts)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HomeError(folder, error.strerror) from error
        return folder

    @property
    def state(self) -> Path:
        """What the supervisor runs: pids, start times, restarts."""
        return self.path / "state.json"

    @property
    def ports(self) -> Path:
        """The ports of this home, kept from one `up` to the next."""
        return self.path / "ports.json"

    @property
    def jobs(self) -> Path:
        """The code version and execution mode of the jobs that were submitted last."""
        return self.path / "jobs.json"

    @property
    def lock(self) -> Path:
        """Held by the supervisor for as long as it lives."""
        return self.path / "lock"

    def log(self, name: str) -> Path:
        """Return the log file of one process."""
        return self.folder("log") / f"{name}.log"

"""Go's fmt.Sprintf and friends, for the values of templates (fmt/print.go)."""

from collections.abc import Sequence

from udfs.template.forms import Form, printed
from udfs.template.values import MAX_TEXT, Missing, Value, type_of

MAX_WIDTH = 1_000_000
_FLAGS = {"-": "minus", "+": "plus", "#": "sharp", " ": "space", "0": "zero"}


class _Text:
    """What is printed so far; raises ValueError as soon as it is too long."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.room = MAX_TEXT

    def put(self, text: str) -> None:
        self.room -= len(text)
        if self.room < 0:
            raise ValueError(f"the text is longer than {MAX_TEXT} characters")
        self._parts.append(text)

    def __str__(self) -> str:
        return "".join(self._parts)


def sprintf(layout: str, *values: Value) -> str:
    """Return the values in a layout; what does not fit is said in the text, as Go does. ValueError if too long."""
    text, scan = _Text(), _Scan(layout, values)
    while True:
        verb = layout.find("%", scan.at)
        text.put(layout[scan.at : verb if verb >= 0 else len(layout)])
        if verb < 0:
            break
        scan.at = verb + 1
        scan.verb(text)
    if not scan.reordered and scan.used < len(values):
        text.put("%!(EXTRA ")
        for place, value in enumerate(values[scan.used :]):
            text.put(", " if place else "")
            nil = value is None or isinstance(value, Missing)
            text.put("<nil>" if nil else f"{type_of(value)}={printed(value, 'v', Form(room=text.room))}")
        text.put(")")
    return str(text)


def sprint(*values: Value) -> str:
    """Return the values one after the other, a space between two of which none is a string."""
    text = _Text()
    for place, value in enumerate(values):
        if place and not isinstance(value, str) and not isinstance(values[place - 1], str):
            text.put(" ")
        text.put(printed(value, "v", Form(room=text.room)))
    return str(text)


def sprintln(*values: Value) -> str:
    """Return the values with spaces between them, and the line's end."""
    text = _Text()
    for place, value in enumerate(values):
        text.put((" " if place else "") + printed(value, "v", Form(room=text.room)))
    return f"{text}\n"


class _Scan:
    """Where the reading of a layout is, and which value is the next; reordered: a value was named by its number."""

    def __init__(self, layout: str, values: Sequence[Value]) -> None:
        self.layout, self.values = layout, values
        self.at = self.used = 0
        self._last = layout.rfind("]")
        self.reordered = False
        # Whether the last thing read was a number in brackets, and all of this verb's were right.
        self._after_index = False
        self._right = True

    def verb(self, text: _Text) -> None:
        """Print what a verb says, from behind its % on."""
        form = Form()
        self._right = True
        while self._char() in _FLAGS:
            setattr(form, _FLAGS[self._char()], True)
            self.at += 1
        self._index()
        self._width(form, text)
        if self._char() == "." and self.at + 1 < len(self.layout):
            self.at += 1
            self._precision(form, text)
        if not self._after_index:
            self._index()
        verb = self._char()
        self.at += 1
        form.room = text.room
        if not verb:
            text.put("%!(NOVERB)")
        elif verb == "%":
            text.put("%")
        elif not self._right:
            text.put(f"%!{verb}(BADINDEX)")
        elif self.used >= len(self.values):
            text.put(f"%!{verb}(MISSING)")
        else:
            if verb in "vw":
                form.go, form.named, form.sharp, form.plus = form.sharp, form.plus, False, False
            text.put(printed(self.values[self.used], verb, form))
            self.used += 1

    def _char(self) -> str:
        return self.layout[self.at : self.at + 1]

    def _index(self) -> None:
        """Take `[3]`: the value that is next."""
        self._after_index = False
        if self._char() != "[":
            return
        self.reordered = True
        # Go wants three characters at least. It is looked for where there is one only: the layout is read once.
        end = self.layout.find("]", self.at) if self.at < self._last and len(self.layout) - self.at >= 3 else -1
        inside = self.layout[self.at + 1 : end] if end >= 0 else ""
        self.at = end + 1 if end >= 0 else self.at + 1
        digits = inside.lstrip("0") or "0"
        known = inside.isascii() and inside.isdigit() and len(digits) <= len(str(MAX_WIDTH))
        number = int(digits) if known else 0
        self._after_index = known
        if known and 1 <= number <= len(self.values):
            self.used = number - 1
        else:
            self._right = False

    def _width(self, form: Form, text: _Text) -> None:
        if self._char() == "*":
            width = self._given()
            text.put("%!(BADWIDTH)" if width is None else "")
            form.width = abs(width or 0)
            if width is not None and width < 0:
                form.minus, form.zero = True, False
            return
        width = self._digits()
        form.width = width or 0
        self._right = self._right and not (self._after_index and width is not None)

    def _precision(self, form: Form, text: _Text) -> None:
        self._right = self._right and not self._after_index
        self._index()
        if self._char() != "*":
            form.precision = self._digits() or 0
            return
        given = self._given()
        form.precision = given if given is not None and given >= 0 else None
        text.put("%!(BADPREC)" if form.precision is None else "")

    def _given(self) -> int | None:
        """Take `*`: return the next value, None if it is no number for this."""
        self.at += 1
        self._after_index = False
        value = self.values[self.used] if self.used < len(self.values) else None
        self.used += self.used < len(self.values)
        whole = isinstance(value, int) and not isinstance(value, bool)
        return value if isinstance(value, int) and whole and abs(value) <= MAX_WIDTH else None

    def _digits(self) -> int | None:
        """Take a number, None if there is none; one that is too large takes the rest of the layout with it."""
        start, number = self.at, 0
        while self._char().isascii() and self._char().isdigit():
            if number > MAX_WIDTH:
                self.at = len(self.layout)
                return None
            number = number * 10 + int(self._char())
            self.at += 1
        return number if self.at > start else None

"""Go's fmt.Sprintf and friends, for the values of templates."""

import math
import re
from collections.abc import Sequence

from udfs.template.values import MAX_TEXT, MISSING, Missing, Value, shown, type_of

MAX_WIDTH = 1_000_000
_VERB = re.compile(r"%([-+# 0]*)(\*|\d+)?(?:\.(\*|\d*))?(.?)", re.DOTALL)
_FLOATS = "eEfFgG"


def sprintf(layout: str, *values: Value) -> str:
    """Return the values in a layout; what does not fit is said in the text, as Go does. ValueError if too long."""
    parts: list[str] = []
    given, place, size = list(values), 0, 0
    used = 0
    for found in _VERB.finditer(layout):
        parts.append(layout[place : found.start()])
        place = found.end()
        flags, width_text, precision_text, verb = found.groups()
        width, used, bad_width = _number(width_text, given, used)
        precision, used, bad_precision = _number(precision_text, given, used)
        if width is not None and width < 0:
            flags, width = flags + "-", -width
        said = "%!(BADWIDTH)" * bad_width + "%!(BADPREC)" * bad_precision
        if not verb:
            said += "%!(NOVERB)"
        elif verb == "%":
            said += "%"
        elif used >= len(given):
            said += f"%!{verb}(MISSING)"
        else:
            said += _one(given[used], verb, flags, width, precision)
            used += 1
        parts.append(said)
        size += len(said)
        if size > MAX_TEXT:
            raise ValueError(f"the text is longer than {MAX_TEXT} characters")
    parts.append(layout[place:])
    if used < len(given):
        parts.append(f"%!(EXTRA {_extra(given[used:])})")
    return "".join(parts)


def sprint(*values: Value) -> str:
    """Return the values one after the other, a space between two of which none is a string."""
    parts: list[str] = []
    room = MAX_TEXT
    for place, value in enumerate(values):
        if place and not isinstance(value, str) and not isinstance(values[place - 1], str):
            parts.append(" ")
        parts.append(shown(value, room))
        room -= len(parts[-1])
    return "".join(parts)


def sprintln(*values: Value) -> str:
    """Return the values with spaces between them, and the line's end."""
    parts: list[str] = []
    room = MAX_TEXT
    for value in values:
        parts.append(shown(value, room))
        room -= len(parts[-1])
    return " ".join(parts) + "\n"


def quoted(text: str) -> str:
    """Return a text as Go quotes it."""
    controls = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
    parts = []
    for char in text:
        if char in '"\\':
            parts.append("\\" + char)
        elif char.isprintable():
            parts.append(char)
        else:
            code = ord(char)
            spelled = f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
            parts.append(controls.get(char, spelled))
    return f'"{"".join(parts)}"'


def _extra(values: Sequence[Value]) -> str:
    parts: list[str] = []
    room = MAX_TEXT
    for value in values:
        parts.append(_typed(value, room))
        room -= len(parts[-1])
    return ", ".join(parts)


def _typed(value: Value, room: int = MAX_TEXT) -> str:
    return "<nil>" if value is None or isinstance(value, Missing) else f"{type_of(value)}={shown(value, room)}"


def _rune(value: int) -> str:
    """Return the character of a code point; as in Go, what is none, a surrogate too, is U+FFFD."""
    return chr(value) if 0 <= value < 0xD800 or 0xDFFF < value <= 0x10FFFF else "\ufffd"


def _number(text: str | None, given: Sequence[Value], used: int) -> tuple[int | None, int, bool]:
    """Return a width or precision, how many values are used after it, and whether it is none."""
    if text is None:
        return None, used, False
    if text != "*":
        number = int(text or 0)
        return (number, used, False) if number <= MAX_WIDTH else (None, used, True)
    value = given[used] if used < len(given) else MISSING
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MAX_WIDTH:
        return value, used + 1, False
    return None, min(used + 1, len(given)), True


def _one(value: Value, verb: str, flags: str, width: int | None, precision: int | None) -> str:
    said, zero = _said(value, verb, flags, precision)
    zero = zero and "0" in flags and "-" not in flags
    if said.startswith("%!"):
        return said
    missing = (width or 0) - len(said)
    if missing <= 0:
        return said
    if "-" in flags:
        return said + " " * missing
    if not zero:
        return " " * missing + said
    sign = said[0] if said[0] in "+- " and not isinstance(value, str) else ""
    return sign + "0" * missing + said[len(sign) :]


def _said(value: Value, verb: str, flags: str, precision: int | None) -> tuple[str, bool]:  # noqa: PLR0911 - by type
    """Return a value as the verb has it, and whether zeros may fill it up."""
    match value:
        case _ if verb == "T":
            return type_of(value), False
        case bool():
            return (shown(value) if verb in "tv" else _wrong(verb, value)), False
        case int():
            return _integer(value, "d" if verb == "v" else verb, flags, precision), precision is None
        case float():
            plain = "g" if verb == "v" else verb
            return (_float(value, plain, flags, precision) if plain in _FLOATS else _wrong(verb, value)), (
                math.isfinite(value)
            )
        case str():
            plain = ("q" if "#" in flags else "s") if verb == "v" else verb
            return _string(value, plain, flags.replace("#", "") if verb == "v" else flags, precision), True
        case Missing() | None:
            return "<nil>" if verb == "v" else f"%!{verb}(<nil>)", False
    return shown(value) if verb in "sv" else _wrong(verb, value), False


def _wrong(verb: str, value: Value) -> str:
    return f"%!{verb}({_typed(value)})"


def _signed(text: str, flags: str) -> str:
    if text[0] in "+-":
        return text
    return ("+" if "+" in flags else " " if " " in flags else "") + text


def _integer(value: int, verb: str, flags: str, precision: int | None) -> str:
    match verb:
        case "c":
            return _rune(value)
        case "q":
            return "'" + quoted(_rune(value))[1:-1].replace('\\"', '"').replace("'", "\\'") + "'"
        case "U":
            return f"U+{value:04X}"
    bases = {"d": ("d", ""), "b": ("b", "0b"), "o": ("o", "0"), "O": ("o", ""), "x": ("x", "0x"), "X": ("X", "0X")}
    if verb not in bases:
        return _wrong(verb, value)
    spelled, prefix = bases[verb]
    digits = format(abs(value), spelled).rjust(precision or 0, "0")
    digits = ("0o" if verb == "O" else prefix if "#" in flags else "") + digits
    return _signed(("-" if value < 0 else "") + digits, flags)


def _float(value: float, verb: str, flags: str, precision: int | None) -> str:
    if math.isnan(value):
        return ("+" if "+" in flags else " " if " " in flags else "") + "NaN"
    if math.isinf(value):
        return "-Inf" if value < 0 else " Inf" if " " in flags and "+" not in flags else "+Inf"
    if verb in "gG" and precision is None:
        text = shown(value)
        return _signed(text.upper() if verb == "G" else text, flags)
    # Python and C agree with Go here: correctly rounded, at least two digits of exponent.
    alternate = "#" if "#" in flags else ""
    return _signed(f"%{alternate}.{6 if precision is None else precision}{verb}" % value, flags)


def _string(value: str, verb: str, flags: str, precision: int | None) -> str:
    cut = value if precision is None else value[:precision]
    match verb:
        case "s":
            return cut
        case "q":
            return f"`{cut}`" if "#" in flags and "`" not in cut and cut.isprintable() else quoted(cut)
        case "x" | "X":
            octets = value.encode()[:precision]
            raw = octets.hex(" ") if " " in flags else octets.hex()
            return raw.upper() if verb == "X" else raw
    return _wrong(verb, value)

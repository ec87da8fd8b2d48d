"""How Go's fmt prints one value under a verb and its flags (fmt/print.go, fmt/format.go)."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from udfs.template.quote import quoted, rune
from udfs.template.values import MAX_TEXT, Data, Missing, Sample, Value, go_float, shown, type_of

_FLOATS = "vbgGxXfFeE"
_MANTISSA = 52
_FIELDS = ("Labels", "ExternalLabels", "ExternalURL", "Value")


@dataclass(slots=True)
class Form:
    """Flags, width and precision of a verb. go: %#v, named: %+v. room: how many characters there may be at all.

    What is longer is a ValueError as soon as it is known: a value may hold itself many times over.
    """

    minus: bool = False
    plus: bool = False
    sharp: bool = False
    space: bool = False
    zero: bool = False
    width: int = 0
    precision: int | None = None
    go: bool = False
    named: bool = False
    room: int = MAX_TEXT

    def pad(self, text: str, zeros: bool = True) -> str:
        """Return a text as wide as it is due, with zeros in front if that is asked for and may be."""
        self.fits(max(self.width, len(text)))
        if self.minus:
            return text.ljust(self.width)
        return text.rjust(self.width, "0" if self.zero and zeros else " ")

    def fits(self, size: int) -> None:
        """Raise ValueError if so many characters are too many."""
        if size > self.room:
            raise ValueError(f"the text is longer than {MAX_TEXT} characters")

    def signed(self, digits: str, negative: bool) -> str:
        """Return digits behind the sign that is due."""
        return ("-" if negative else "+" if self.plus else " " if self.space else "") + digits


def printed(value: Value, verb: str, form: Form) -> str:
    """Return a value as Sprintf prints it; a verb that is not for it is said in the text."""
    if isinstance(value, Missing | None):
        return form.pad("<nil>") if verb in "Tv" else _wrong(value, verb, form)
    if verb == "T":
        return _cut(type_of(value), form)
    if verb == "p":  # nothing here has an address
        return _wrong(value, verb, form)
    if isinstance(value, Sample):
        return "&" + _part(value, verb, form)
    return _part(value, verb, form)


def _part(value: Value, verb: str, form: Form) -> str:  # noqa: PLR0911 - one arm per type
    match value:
        case None | Missing():
            return "interface {}(nil)" if form.go else "<nil>"
        case bool():
            return form.pad(shown(value)) if verb in "tv" else _wrong(value, verb, form)
        case int():
            return _integer(value, verb, form)
        case float():
            return _float(value, verb, form) if verb in _FLOATS else _wrong(value, verb, form)
        case str():
            return _string(value, verb, form)
        case datetime():
            return _string(shown(value), verb, form) if verb in "vsqxX" else _wrong(value, verb, form)
        case Mapping():
            entries = ((key, value[key]) for key in sorted(value))
            return _joined(entries, verb, form, f"{type_of(value)}{{}}" if form.go else "map[]")
        case Sample():
            fields = (("Labels", value.labels), ("Value", value.value))
            return _joined(fields, verb, form, "template.sample{}" if form.go else "{}", form.go or form.named)
        case Data():
            parts = (value.labels, value.external_labels, value.external_url, value.value)
            ends = f"{type_of(value)}{{}}" if form.go else "{}"
            return _joined(zip(_FIELDS, parts, strict=True), verb, form, ends, form.go or form.named)
    ends = f"{type_of(value)}{{}}" if form.go else "[]"
    return _joined((("", one) for one in value), verb, form, ends, False)


def _joined(entries: "Iterable[tuple[str, Value]]", verb: str, form: Form, ends: str, names: bool | None = None) -> str:
    """Return what a value is made of. names: whether fields have theirs; None: they are keys, printed by the verb."""
    kept, between = form.room, ", " if form.go else " "
    said: list[str] = []
    for name, value in entries:
        key = _string(name, verb, form) if names is None else name if names else ""
        said.append((key + ":" if key or names is None else "") + _part(value, verb, form))
        form.room -= len(said[-1]) + 1
        form.fits(0)
    form.room = kept
    return ends[:-1] + between.join(said) + ends[-1]


def _wrong(value: Value, verb: str, form: Form) -> str:
    if isinstance(value, Missing | None):
        return f"%!{verb}(<nil>)"
    return f"%!{verb}({type_of(value)}={printed(value, 'v', form)})"


def _cut(text: str, form: Form) -> str:
    return form.pad(text if form.precision is None else text[: form.precision])


def _string(value: str, verb: str, form: Form) -> str:
    cut = value if form.precision is None else value[: form.precision]
    match verb:
        case "v" if form.go:
            return form.pad(quoted(cut, form.plus))
        case "s" | "v":
            return _cut(value, form)
        case "q":
            plain = form.sharp and "`" not in cut and all(char.isprintable() or char == "\t" for char in cut)
            return form.pad(f"`{cut}`" if plain and "\ufeff" not in cut else quoted(cut, form.plus))
        case "x" | "X":
            return _hex(value, verb, form)
    return _wrong(value, verb, form)


def _hex(value: str, verb: str, form: Form) -> str:
    octets = value.encode("utf-8", "replace")[: form.precision]
    prefix = "0x" if form.sharp and octets else ""
    said = prefix + octets.hex() if not form.space else " ".join(f"{prefix}{octet:02x}" for octet in octets)
    return form.pad(said.upper() if verb == "X" else said)


def _integer(value: int, verb: str, form: Form) -> str:
    match verb:
        case "c":
            return form.pad(rune(value))
        case "q":
            return form.pad("'" + quoted(rune(value), form.plus, "'")[1:-1] + "'")
        case "U":
            return _code_point(value, form)
    bases = {"d": ("d", ""), "b": ("b", "0b"), "o": ("o", "0"), "O": ("o", "0o"), "x": ("x", "0x"), "X": ("X", "0X")}
    if verb not in bases and verb != "v":
        return _wrong(value, verb, form)
    spelled, prefix = bases.get(verb, ("d", ""))
    if form.precision == 0 and value == 0:
        return form.pad("", zeros=False)
    least = form.precision or 0
    if form.precision is None and form.zero and not form.minus:
        least = form.width - (value < 0 or form.plus or form.space)
    form.fits(least)
    digits = format(abs(value), spelled).rjust(least, "0")
    if form.sharp and not (spelled == "o" and digits[0] == "0") and verb != "O":
        digits = prefix + digits
    elif verb == "O":
        digits = prefix + ("0" if form.sharp and digits[0] != "0" else "") + digits
    return form.pad(form.signed(digits, value < 0), zeros=False)


def _code_point(value: int, form: Form) -> str:
    form.fits(form.precision or 0)
    said = "U+" + f"{value % (1 << 64):X}".rjust(max(4, form.precision or 0), "0")
    if form.sharp and 0 <= value <= 0x10FFFF and chr(value).isprintable():
        said += f" '{chr(value)}'"
    return form.pad(said, zeros=False)


def _float(value: float, verb: str, form: Form) -> str:
    if not math.isfinite(value):
        text = "NaN" if math.isnan(value) else "Inf"
        sign = "-" if value < 0 else "+" if form.plus or (text == "Inf" and not form.space) else " "
        return form.pad((sign if text == "Inf" or form.plus or form.space else "") + text, zeros=False)
    form.fits(form.precision or 0)
    plain = {"v": "g", "F": "f"}.get(verb, verb)
    digits = _digits(abs(value), plain, form.precision)
    if form.sharp and plain != "b":
        digits = _sharp(digits, plain, form.precision)
    negative = math.copysign(1, value) < 0
    said = form.signed(digits, negative)
    if said[0] in "+- " and form.zero and not form.minus:
        form.fits(form.width)
        return said[0] + said[1:].rjust(form.width - 1, "0")
    return form.pad(said)


def _digits(value: float, verb: str, precision: int | None) -> str:
    """Return a float of no sign as strconv.FormatFloat spells it; no precision: as many digits as it takes."""
    if verb == "b":
        fraction, exponent = math.frexp(value)
        mantissa, power = int(fraction * 2.0**53), exponent - 53
        if power < -1074:
            mantissa, power = mantissa >> (-1074 - power), -1074
        return f"{mantissa}p{-1074 if value == 0 else power:+d}"
    if verb in "xX":
        said = _hex_float(value, precision)
        return said.upper() if verb == "X" else said
    if verb in "gG" and precision is None:
        text = go_float(value)
        return text.upper() if verb == "G" else text
    # Python and C agree with Go here: correctly rounded, at least two digits of exponent.
    return f"%.{6 if precision is None else precision}{verb}" % value


def _hex_float(value: float, precision: int | None) -> str:
    fraction, exponent = math.frexp(value)
    mantissa, power = int(fraction * 2.0**53), exponent - 1 if value else 0
    digits = _MANTISSA // 4 if precision is None else precision
    cut = max(0, _MANTISSA - 4 * digits)
    if cut:  # to the nearest, a tie to the even one
        kept, rest, half = mantissa >> cut, mantissa & ((1 << cut) - 1), 1 << (cut - 1)
        mantissa = kept + (rest > half or (rest == half and kept & 1))
        if mantissa >> (_MANTISSA + 1 - cut):
            mantissa, power = mantissa >> 1, power + 1
    whole, after = divmod(mantissa, 1 << (_MANTISSA - cut))
    spelled = f"{after:0{(_MANTISSA - cut) // 4}x}" if cut < _MANTISSA else ""
    spelled = spelled.rstrip("0") if precision is None else spelled.ljust(precision, "0")
    return f"0x{whole}{'.' if spelled else ''}{spelled}p{power:+03d}"


def _sharp(number: str, verb: str, precision: int | None) -> str:
    """Return a float with the point, and the zeros at its end, that # asks for."""
    mark = "p" if verb in "xX" else "e"
    at = number.lower().find(mark)
    head, tail = (number[:at], number[at:]) if at >= 0 else (number, "")
    digits = (6 if precision is None else precision) if verb in "gGx" else 0
    digits -= len(head.replace(".", "").lstrip("0"))
    if "." not in head:
        digits -= head == "0"
        head += "."
    return head + "0" * max(0, digits) + tail

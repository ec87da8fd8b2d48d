"""A query's text before the parser sees it: bounded, and rewritten where the parser would misread it.

The parser panics at @ before 1970, refuses an offset of 0s, knows no underscores in numbers, and takes escaped bytes
for code points. And it takes regular expressions for those of another engine than RE2.
"""

import math
import re
from dataclasses import dataclass

from promql.errors import NESTING, PARSE, PromqlError

MAX_DEPTH = 100
MAX_SYMBOLS = 1000
# Bytes of a string that are no UTF-8 stand in the plan as these private code points: they equal no label's value.
BROKEN_BYTES = 0x10FF00

_QUOTED = r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|`[^`]*`'
_GAP = r"(?:\s|#[^\n]*)*"
_DURATION = r"(?:\d+(?:ms|[smhdwy]))+"
_NUMBER = r"0[xX](?:_?[0-9a-fA-F])+|(?:\d(?:_?\d)*\.?(?:\d(?:_?\d)*)?|\.\d(?:_?\d)*)(?:[eE][-+]?\d+)?"
_TOKEN = re.compile(
    rf"(?:(?P<match>[=!]~){_GAP})?(?P<quoted>{_QUOTED})|(?P<comment>#[^\n]*)"
    rf"|@{_GAP}(?P<sign>[-+]?){_GAP}(?P<at>{_DURATION}|{_NUMBER})(?![\w.])"
    rf"|(?<![\w.:])(?P<zero>(?i:offset){_GAP}[-+]?{_GAP}0+(?:\.0*)?(?:ms|[smhdwy])?(?![\w.]))"
    rf"|(?<![\w.:])(?P<number>0[xX](?:_?[0-9a-fA-F])+|\.?\d(?:[\d.]|_(?=\d))*)",
    re.DOTALL | re.ASCII,
)
_BARE = re.compile(_QUOTED, re.DOTALL)
_SYMBOLS = re.compile(r"[-+*/%^<>=!(\[{,]|\b(?:and|or|unless|atan2)\b")
_STRAY_AT = re.compile(r"@(?!\s*(?:\d+(?![\w.])|(?:start|end)\s*\())", re.ASCII)
_PART = re.compile(r"(\d+)(ms|[smhdwy])")
_UNIT_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_ESCAPE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([abfnrtv\\'\"]))", re.DOTALL
)
_BYTE = re.compile(r"\\(?:x|[0-7])")
_CONTROLS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """text: what to parse. at_ms: the times of @; in the text stands a time's place in it.

    regexes: the regular expressions of matchers by what stands for them in the text.
    """

    text: str
    at_ms: tuple[int, ...]
    regexes: dict[str, str]


def prepare(text: str) -> Prepared:
    """Return the text as the parser can take it. Raises PARSE and NESTING."""
    times: list[int] = []
    regexes: dict[str, str] = {}

    def replace(match: re.Match[str]) -> str:
        if match["quoted"] is not None:
            if match["match"] is None:
                return _string(match["quoted"])
            name = f"regex{len(regexes)}"
            regexes[name] = _decoded(match["quoted"])
            return f'{match["match"]}"{name}"'
        if match["comment"] is not None:
            return " "
        if match["zero"] is not None:
            return "offset 0"
        if match["number"] is not None:
            return match["number"].replace("_", "")
        times.append(_time_ms(match["sign"], match["at"]))
        return f"@ {len(times) - 1}"

    rewritten = _TOKEN.sub(replace, text)
    _guard(_BARE.sub('""', rewritten))
    return Prepared(rewritten, tuple(times), regexes)


def _guard(bare: str) -> None:
    """Refuse what is too large for the parser, whose time is quadratic in depth; bare: the text without strings."""
    symbols = len(_SYMBOLS.findall(bare))
    if symbols > MAX_SYMBOLS:
        raise PromqlError(NESTING, f"the query has {symbols} operators and brackets, more than {MAX_SYMBOLS}")
    depth = deepest = 0
    for char in bare:
        depth += (char in "([{") - (char in ")]}")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise PromqlError(NESTING, f"the query nests {deepest} brackets, more than {MAX_DEPTH}")
    if stray := _STRAY_AT.search(bare):
        what = bare[stray.start() : stray.start() + 20]
        raise PromqlError(PARSE, f"invalid PromQL: no timestamp, start() or end() after @ at {what!r}")


def _time_ms(sign: str, digits: str) -> int:
    """Return the time of @, seconds in the text, in ms, halves away from zero."""
    if re.fullmatch(_DURATION, digits):
        seconds = sum(int(count) * _UNIT_S[unit] for count, unit in _PART.findall(digits))
    else:
        plain = digits.replace("_", "")
        seconds = float(int(plain, 16)) if plain[:2] in ("0x", "0X") else float(plain)
    if seconds > 2**53 / 1000:
        raise PromqlError(PARSE, f"invalid PromQL: timestamp out of bounds for @ modifier: {sign}{digits}")
    size = math.floor(seconds * 1000 + 0.5)
    return -size if sign == "-" else size


def _string(literal: str) -> str:
    """Return a literal with escaped bytes decoded; others as they are."""
    if literal[0] == "`" or not _BYTE.search(literal):
        return literal
    return '"' + _decoded(literal).replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def _decoded(literal: str) -> str:
    """Return the text of a string literal."""
    if literal[0] == "`":
        return literal[1:-1]
    if "\n" in literal:
        raise PromqlError(PARSE, "invalid PromQL: unterminated quoted string")
    raw = b""
    place, end = 1, len(literal) - 1
    while place < end:
        escape = _ESCAPE.match(literal, place, end)
        if escape is None:
            if literal[place] == "\\":
                raise PromqlError(PARSE, f"invalid PromQL: unknown escape sequence in {literal}")
            raw += literal[place].encode("utf-8", "surrogatepass")
            place += 1
            continue
        raw += _escaped(escape)
        place = escape.end()
    return "".join(
        chr(BROKEN_BYTES + ord(char) - 0xDC00) if 0xDC80 <= ord(char) <= 0xDCFF else char
        for char in raw.decode("utf-8", "surrogateescape")
    )


def _escaped(escape: re.Match[str]) -> bytes:
    two, octal, four, eight, control = escape.groups()
    if two or octal:
        return bytes([int(two, 16) if two else int(octal, 8) & 0xFF])
    if control:
        return _CONTROLS.get(control, control).encode()
    return chr(int(four or eight, 16)).encode("utf-8", "surrogatepass")


def is_broken(text: str) -> bool:
    """Tell whether a string of a plan held bytes that are no UTF-8."""
    return any(BROKEN_BYTES <= ord(char) <= BROKEN_BYTES + 0xFF for char in text)

"""A query's text before the parser sees it: bounded, and rewritten where the parser would misread it.

The parser panics at @ before 1970, refuses an offset of 0s, knows no underscores in numbers, takes numbers that are
too large for infinity, and escaped bytes for code points. And it takes regular expressions for those of another engine
than RE2.

The expressions here never give back what they took (*+, ++, (?>…)): a text could else hold the interpreter for minutes.
"""

import math
import re
from dataclasses import dataclass

from promql.errors import NESTING, PARSE, PromqlError

MAX_DEPTH = 100
MAX_SYMBOLS = 1000
# Bytes of a string that are no UTF-8 stand in the plan as these private code points: they equal no label's value.
BROKEN_BYTES = 0x10FF00

_QUOTED = r'"(?:\\[^\n]|[^"\\\n])*+"|\'(?:\\[^\n]|[^\'\\\n])*+\'|`[^`]*+`'
_PIECE = re.compile(rf"(?P<quoted>{_QUOTED})|#[^\r\n]*+|(?P<open>[\"'`])")
_GAP = r"\s*+"
_DURATION = r"(?:\d++(?:ms|[smhdwy]))++"
_DIGITS = r"\d(?:_?\d)*+"
_HEX = r"0[xX](?:_?[0-9a-fA-F])++"
_NUMBER = rf"{_HEX}|(?:{_DIGITS}(?:\.(?:{_DIGITS})?+)?+|\.{_DIGITS})(?:[eE][-+]?\d++)?+"
_TOKEN = re.compile(
    rf"(?:(?P<match>[=!]~){_GAP})?(?P<quoted>{_QUOTED})"
    rf"|@{_GAP}(?P<sign>[-+]?){_GAP}(?P<at>(?>{_DURATION}|{_NUMBER}))(?![\w.])"
    rf"|(?<![\w.:])(?P<zero>(?i:offset){_GAP}[-+]?{_GAP}0++(?:\.0*+)?+(?:ms|[smhdwy])?(?![\w.]))"
    rf"|(?<![\w.:])(?P<number>{_HEX}|\.?\d(?:[\d.]|_(?=\d))*+(?:[eE][-+]?\d++)?+)",
    re.ASCII,
)
_BARE = re.compile(_QUOTED)
_SYMBOLS = re.compile(r"[-+*/%^<>=!(\[{,]|\b(?i:and|or|unless|atan2)\b")
_STRAY_AT = re.compile(r"@(?!\s*+(?:\d++(?![\w.])|(?i:start|end)\s*+\())", re.ASCII)
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
        if match["zero"] is not None:
            return "offset 0"
        if match["number"] is not None:
            return _number(match["number"])
        times.append(_time_ms(match["sign"], match["at"]))
        return f"@ {len(times) - 1}"

    rewritten = _TOKEN.sub(replace, _without_comments(text))
    _guard(_BARE.sub('""', rewritten))
    return Prepared(rewritten, tuple(times), regexes)


def _without_comments(text: str) -> str:
    """Return the text with blanks for comments, so that nothing after this takes what they say for code."""

    def replace(piece: re.Match[str]) -> str:
        if piece["open"]:
            raise PromqlError(PARSE, "invalid PromQL: unterminated quoted string")
        return piece["quoted"] or " "

    return _PIECE.sub(replace, text)


def _number(literal: str) -> str:
    """Return a number as the parser knows it. Raises PARSE for one too large, of which the parser makes infinity."""
    plain = literal.replace("_", "")
    try:
        too_large = math.isinf(float(plain))
    except ValueError:
        # Hexadecimal, or no number: the parser's to tell.
        return plain
    if too_large:
        raise PromqlError(PARSE, f"invalid PromQL: error parsing number {literal[:50]!r}: value out of range")
    return plain


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

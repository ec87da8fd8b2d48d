"""From a template's text to tokens (text/template/parse/lex.go)."""

import math
import re
from typing import NamedTuple

from udfs.template.errors import ParseError

_SPACE = " \t\r\n"
_SPACES = frozenset(_SPACE)
_LEFT, _RIGHT = "{{", "}}"
_KEYWORDS = frozenset(
    {"block", "break", "continue", "define", "else", "end", "if", "nil", "range", "template", "with", "true", "false"}
)
# As Go's scanner takes it: whether it is a number is seen later.
_NUMBER = re.compile(
    r"[+-]?(?:0[xX][0-9a-fA-F_]*\.?[0-9a-fA-F_]*(?:[pP][+-]?[0-9_]*)?|0[bB][01_]*\.?[01_]*|0[oO][0-7_]*\.?[0-7_]*"
    r"|[0-9_]*\.?[0-9_]*(?:[eE][+-]?[0-9_]*)?)"
)
_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r'"(?:\\[^\n]|[^"\\\n])*"')
_CHAR = re.compile(r"'(?:\\[^\n]|[^'\\\n])+'")
_RAW = re.compile(r"`[^`]*`")
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([abfnrtv\\'\"]))")
_CONTROLS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SYMBOLS = {"|": "pipe", "(": "(", ")": ")", ",": ",", "=": "="}


class Token(NamedTuple):
    """kind: text, left, right, space, number, string, char, word, keyword, field, variable, dot, pipe, eof, a sign."""

    kind: str
    text: str
    at: int


def lex(text: str) -> list[Token]:
    """Return the tokens of a template, the last one eof; raises ParseError."""
    tokens: list[Token] = []
    place = 0
    while True:
        start = text.find(_LEFT, place)
        plain = text[place:] if start < 0 else text[place:start]
        trims = start >= 0 and text[start + 2 : start + 3] == "-" and text[start + 3 : start + 4] in _SPACES
        if trims:
            plain = plain.rstrip(_SPACE)
        if plain:
            tokens.append(Token("text", plain, place))
        if start < 0:
            tokens.append(Token("eof", "", len(text)))
            return tokens
        place = start + (4 if trims else 2)
        if text.startswith("/*", start + (3 if trims else 2) + (1 if trims else 0)):
            place = _comment(text, place)
        else:
            tokens.append(Token("left", _LEFT, start))
            place = _action(text, place, tokens)
        if text[place - 3 : place - 2] == "-" and text[place - 4 : place - 3] in _SPACES:
            while place < len(text) and text[place] in _SPACE:
                place += 1


def _line(text: str, at: int) -> int:
    return 1 + text.count("\n", 0, at)


def _comment(text: str, place: int) -> int:
    """Return where the text goes on after a comment's action."""
    end = text.find("*/", place + 2)
    if end < 0:
        raise ParseError("unclosed comment", _line(text, place))
    place = end + 2
    if text[place : place + 1] in _SPACES and text.startswith("-" + _RIGHT, place + 1):
        return place + 4
    if text.startswith(_RIGHT, place):
        return place + 2
    raise ParseError("comment ends before closing delimiter", _line(text, place))


def _action(text: str, place: int, tokens: list[Token]) -> int:
    """Take the tokens of one action; return where the text goes on after it."""
    depth = 0
    while True:
        if text.startswith(_RIGHT, place):
            end = place + 2
        elif text[place : place + 1] in _SPACES and text.startswith("-" + _RIGHT, place + 1):
            end = place + 4
        else:
            token = _token(text, place)
            depth += (token.kind == "(") - (token.kind == ")")
            if depth < 0:
                raise ParseError("unexpected right paren", _line(text, place))
            tokens.append(token)
            place += len(token.text)
            continue
        if depth:
            raise ParseError("unclosed left paren", _line(text, place))
        tokens.append(Token("right", _RIGHT, place))
        return end


def _token(text: str, place: int) -> Token:  # noqa: PLR0911 - one arm per kind
    char = text[place : place + 1]
    if not char:
        raise ParseError("unclosed action", _line(text, place))
    if char in _SPACE:
        end = place
        while text[end : end + 1] in _SPACES and not text.startswith("-" + _RIGHT, end + 1):
            end += 1
        return Token("space", text[place : max(end, place + 1)], place)
    if text.startswith(":=", place):
        return Token(":=", ":=", place)
    if char in _SYMBOLS:
        return Token(_SYMBOLS[char], char, place)
    if char in "\"'`":
        return _literal(text, place)
    if char in ".$":
        after = text[place + 1 : place + 2]
        if not (char == "." and after.isascii() and after.isdigit()):
            word = _WORD.match(text, place + 1)
            _terminated(text, word.end() if word else place + 1)
            if char == "." and not word:
                return Token("dot", ".", place)
            return Token("field" if char == "." else "variable", char + (word[0] if word else ""), place)
    if char.isascii() and (char.isdigit() or char in "+-."):
        return _number(text, place)
    word = _WORD.match(text, place)
    if word:
        _terminated(text, word.end())
        return Token("keyword" if word[0] in _KEYWORDS else "word", word[0], place)
    if char == ":":
        raise ParseError("expected :=", _line(text, place))
    raise ParseError(f"unrecognized character in action: {_named(char)}", _line(text, place))


def _literal(text: str, place: int) -> Token:
    char = text[place]
    kind, pattern, what = {
        '"': ("string", _QUOTED, "unterminated quoted string"),
        "'": ("char", _CHAR, "unterminated character constant"),
        "`": ("string", _RAW, "unterminated raw quoted string"),
    }[char]
    found = pattern.match(text, place)
    if found is None:
        raise ParseError(what, _line(text, place))
    return Token(kind, found[0], place)


def _number(text: str, place: int) -> Token:
    found = _NUMBER.match(text, place)
    assert found
    if _WORD.match(text, found.end()):
        raise ParseError(f'bad number syntax: "{text[place : found.end() + 1]}"', _line(text, place))
    return Token("number", found[0], place)


def _terminated(text: str, place: int) -> None:
    """Refuse what cannot stand right behind a word."""
    char = text[place : place + 1]
    if char and char not in _SPACE + ".,|:()" and not text.startswith(_RIGHT, place):
        raise ParseError(f"bad character {_named(char)}", _line(text, place))


def _named(char: str) -> str:
    code = f"U+{ord(char):04X}"
    return f"{code} '{char}'" if char.isprintable() and char != "\xa0" else code


def unquoted(literal: str, line: int) -> str:
    """Return the text of a Go string or character literal; raises ParseError."""
    if literal[0] == "`":
        return literal[1:-1]
    inside, raw, place = literal[1:-1], bytearray(), 0
    while place < len(inside):
        if inside[place] != "\\":
            raw += inside[place].encode()
            place += 1
            continue
        found = _ESCAPE.match(inside, place)
        if found is None:
            raise ParseError("invalid syntax", line)
        two, octal, four, eight, control = found.groups()
        if two or octal:
            raw += bytes([int(two, 16) if two else int(octal, 8) & 0xFF])
        else:
            char = _CONTROLS.get(control, control) if control else chr(min(int(four or eight, 16), 0x10FFFF))
            raw += char.encode("utf-8", "replace")
        place = found.end()
    return raw.decode("utf-8", "replace")


def number(text: str, line: int) -> float:
    """Return an int where the spelling is one, as Go's constants have it; raises ParseError."""
    plain = text.replace("_", "")
    digits = plain.lstrip("+-").lower()
    hexadecimal = digits.startswith("0x")
    try:
        if any(sign in digits for sign in (".p" if hexadecimal else ".e")):
            return _float(text, plain, digits, line)
        old = len(digits) > 1 and digits[0] == "0" and digits.isdigit()
        found = int(text.lstrip("+-").replace("_", "") if old else text.lstrip("+-"), 8 if old else 0)
    except ValueError as error:
        raise ParseError(f'illegal number syntax: "{text}"', line) from error
    found = -found if plain[0] == "-" else found
    if not -(1 << 63) <= found < 1 << 63:
        raise ParseError(f'integer overflow: "{text}"', line)
    return found


def _float(text: str, plain: str, digits: str, line: int) -> float:
    """Return what a float's spelling means; raises ValueError if it is none."""
    hexadecimal = digits.startswith("0x")
    if hexadecimal and "p" not in digits:
        raise ValueError("a point, and no exponent")
    found = float.fromhex(plain) if hexadecimal else float(text)
    if not math.isfinite(found):
        raise ParseError(f'illegal number syntax: "{text}"', line)
    return found

"""The functions of templates: Go's own (text/template/funcs.go) and Prometheus's (template/template.go)."""

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from urllib.parse import quote_plus, urlsplit

from promql.errors import PromqlError
from promql.match import search_regex
from udfs.duration import parse_duration
from udfs.template import humanize
from udfs.template.quote import quoted
from udfs.template.values import (
    MAX_TEXT,
    SLOW,
    Args,
    Data,
    Function,
    Html,
    Missing,
    Sample,
    Value,
    shown,
    truth,
    type_of,
)
from udfs.template.verbs import sprint, sprintf, sprintln

Query = Callable[[str], Sequence[Sample]]
_HTML = str.maketrans({"\0": "\ufffd", '"': "&#34;", "'": "&#39;", "&": "&amp;", "<": "&lt;", ">": "&gt;"})
_JS = {"\\": "\\\\", "'": "\\'", '"': '\\"', "<": "\\u003C", ">": "\\u003E", "&": "\\u0026", "=": "\\u003D"}
# Words as Unicode splits them, near enough: an apostrophe or a dot between letters does not end one.
_WORD = re.compile(r"\w+(?:(?<=[^\W\d_])['\u2019.\u00b7:](?=[^\W\d_])\w+)*")
_LETTER = re.compile(r"[^\W\d_]")
_MAX_REGEX_WORK = 20_000_000
_MAX_REPLACING = 8 * MAX_TEXT
_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})", re.ASCII)


def functions(query: Query | None, external_url: str) -> Mapping[str, Function]:
    """Return all functions; query raises ValueError or PromqlError. Without one, query in a template is an error."""
    return {
        **_PURE,
        "query": Function(("string",), lambda text: _query(query, text)),
        "externalURL": Function((), lambda: external_url),
        "pathPrefix": Function((), lambda: urlsplit(external_url).path),
    }


def _query(query: Query | None, text: str) -> list[Sample]:
    if query is None:
        raise ValueError("there is nothing to ask here")
    try:
        return list(query(text))
    except PromqlError as error:
        raise ValueError(str(error)) from error


def _first(found: Sequence[Sample] | None) -> Sample:
    if not found:
        raise ValueError("first() called on vector with no elements")
    return found[0]


def _sample(sample: Sample | None) -> Sample:
    if sample is None:
        raise ValueError("runtime error: invalid memory address or nil pointer dereference")
    return sample


def _sorted(label: str, found: Sequence[Sample] | None) -> list[Sample]:
    return sorted(found or (), key=lambda sample: sample.labels.get(label, ""))


def _regex(pattern: str, text: str) -> "re.Pattern[str]":
    try:
        compiled = search_regex(pattern)
    except PromqlError as error:
        raise ValueError(error.message) from error
    # At its slowest RE2 goes through its whole program at each character, and keeps all groups at each place of it.
    if compiled.programsize * (len(text) + 100 * compiled.groups) > _MAX_REGEX_WORK:
        raise ValueError("the regular expression is too large for this text")
    found: re.Pattern[str] = compiled
    return found


def _match(pattern: str, text: str) -> bool:
    return _regex(pattern, text).search(text) is not None


def _replace_all(pattern: str, replacement: str, text: str) -> str:
    """Replace as Go does: $1, ${1} and ${name} are groups, absent ones empty, $$ a dollar."""
    regex = _regex(pattern, text)
    pieces = _pieces(replacement, regex)
    parts: list[str] = []
    place = size = work = 0
    for found in regex.finditer(text):
        given = "".join(piece if isinstance(piece, str) else found[piece] or "" for piece in pieces)
        parts += [text[place : found.start()], given]
        place = found.end()
        size += len(parts[-1]) + len(parts[-2])
        # A match may have looked at all that is left.
        work += len(pieces) + (len(text) - place) // 64
        if size > MAX_TEXT:
            raise ValueError(f"the text is longer than {MAX_TEXT} characters")
        if work > _MAX_REPLACING:
            raise ValueError("there is too much to replace")
    return "".join(parts) + text[place:]


def _pieces(replacement: str, regex: "re.Pattern[str]") -> list[str | int]:
    """Return what a replacement is made of: texts and numbers of groups."""
    pieces: list[str | int] = []
    place = 0
    for found in _REFERENCE.finditer(replacement):
        pieces.append(replacement[place : found.start()])
        place = found.end()
        name = found[1] or found[2]
        number = int(name[:9]) if name and name.isdigit() else regex.groupindex.get(name or "", -1)
        if name is None:
            pieces.append("$")
        elif 0 <= number <= regex.groups:
            pieces.append(number)
    return [piece for piece in (*pieces, replacement[place:]) if piece != ""]


def _title(text: str) -> str:
    def raised(word: re.Match[str]) -> str:
        return _LETTER.sub(lambda letter: letter[0].title(), word[0], count=1)

    return _WORD.sub(raised, text)


def _split_port(text: str) -> tuple[str, str] | None:
    """Return (host, port) as net.SplitHostPort does, None for its errors."""
    bracketed = re.match(r"\[([^\[\]]*)\]:([^:\[\]]*)\Z", text)
    if bracketed:
        return bracketed[1], bracketed[2]
    plain = re.match(r"([^:\[\]]*):([^:\[\]]*)\Z", text)
    return (plain[1], plain[2]) if plain else None


def _strip_port(text: str) -> str:
    split = _split_port(text)
    return text if split is None else split[0]


def _strip_domain(text: str) -> str:
    host, port = _split_port(text) or (text, "")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        host = host.split(".")[0]
        if not port:
            return host
        return f"[{host}]:{port}" if ":" in host or "%" in host else f"{host}:{port}"
    return text


def _duration(text: str) -> float:
    try:
        return float(parse_duration(text))
    except ValueError as error:
        reason = f"not a valid duration string: {quoted(text)}" if text else "empty duration string"
        raise ValueError(reason) from error


def _js(text: str) -> str:
    return "".join(_JS.get(char, char if char >= " " else f"\\u{ord(char):04X}") for char in text)


_BASIC = {"bool": "bool", "int": "int", "float64": "float", "string": "string", "template.HTML": "string"}


def _kinds(one: Value, other: Value) -> str:
    """Return the kind that two values share; raises ValueError if they cannot be compared."""
    kinds = [_BASIC.get(type_of(value), "") for value in (one, other)]
    if kinds[0] != kinds[1] and not any(isinstance(value, Missing | None) for value in (one, other)):
        raise ValueError(f"incompatible types for comparison: {type_of(one)} and {type_of(other)}")
    return kinds[0] if kinds[0] == kinds[1] else ""


def _eq(one: Value, *others: Value) -> bool:
    if not others:
        raise ValueError("missing argument for comparison")
    for other in others:
        kind = _kinds(one, other)
        if not kind and isinstance(one, Mapping) and isinstance(other, Mapping):
            raise ValueError(f"non-comparable types {shown(one)}: {type_of(one)}, {type_of(other)}: {shown(other)}")
        if one is other or (kind and one == other):
            return True
    return False


def _less(one: Value, other: Value) -> bool:
    for value in (one, other):
        if type_of(value) not in _BASIC:
            raise ValueError("invalid type for comparison")
    if _kinds(one, other) == "bool":
        raise ValueError("invalid type for comparison")
    assert isinstance(one, int | float | str) and isinstance(other, int | float | str)
    return one < other  # type: ignore[operator]  # of one kind, see above


def _length(value: Value) -> int:
    if isinstance(value, Missing | None | bool | int | float | Sample | Data | datetime):
        if isinstance(value, Missing | None):
            raise ValueError("len of nil pointer")
        raise ValueError(f"len of type {type_of(value).lstrip('*')}")
    return len(value.encode()) if isinstance(value, str) else len(value)


def _index(value: Value, *places: Value) -> Value:
    for place in places:
        if isinstance(value, Mapping):
            if not isinstance(place, str):
                raise ValueError(f"value has type {type_of(place)}; should be string")
            value = value.get(place, Missing()) if isinstance(value, Args) else value.get(place, "")
        elif isinstance(value, Sequence):
            if isinstance(place, bool) or not isinstance(place, int):
                raise ValueError(f"cannot index slice/array with type {type_of(place)}")
            held = value.encode() if isinstance(value, str) else value
            if not 0 <= place < len(held):
                raise ValueError(f"index out of range: {place}")
            value = held[place]
        else:
            what = "index of untyped nil" if isinstance(value, Missing | None) else ""
            raise ValueError(what or f"can't index item of type {type_of(value).lstrip('*')}")
    return value


def _slice(value: Value, *bounds: Value) -> Value:
    if isinstance(value, Mapping) or not isinstance(value, Sequence):
        nil = isinstance(value, Missing | None)
        what = type_of(value).lstrip("*")
        raise ValueError("slice of untyped nil" if nil else f"can't slice item of type {what}")
    if len(bounds) > 3:
        raise ValueError(f"too many slice indexes: {len(bounds)}")
    if len(bounds) == 3 and isinstance(value, str):
        raise ValueError("cannot 3-index slice a string")
    held = value.encode() if isinstance(value, str) else list(value)
    places: list[int] = []
    for bound in bounds:
        if isinstance(bound, bool) or not isinstance(bound, int):
            raise ValueError(f"cannot index slice/array with type {type_of(bound)}")
        if not 0 <= bound <= len(held):
            raise ValueError(f"index out of range: {bound}")
        places.append(bound)
    low, high = [*places[:2], *(0, len(held))[len(places) :]]
    for first, second in ((low, high), (high, places[-1] if len(places) == 3 else high)):
        if first > second:
            raise ValueError(f"invalid slice index: {first} > {second}")
    part = held[low:high]
    return part.decode("utf-8", "replace") if isinstance(part, bytes) else part


def _text(*values: Value) -> str:
    """Return what html, js and urlquery escape: values as an action prints them (evalArgs)."""
    said = ["<no value>" if value is None else value for value in values]
    return shown(said[0]) if len(said) == 1 else sprint(*said)


_PURE: dict[str, Function] = {
    "and": Function(("any", "..."), lambda *values: values[-1]),
    "or": Function(("any", "..."), lambda *values: values[-1]),
    "not": Function(("any",), lambda value: not truth(value)),
    "len": Function(("any",), _length),
    "index": Function(("any", "..."), _index),
    "slice": Function(("any", "..."), _slice),
    "print": Function(("...",), sprint),
    "printf": Function(("string", "..."), sprintf),
    "println": Function(("...",), sprintln),
    "html": Function(("...",), lambda *values: _text(*values).translate(_HTML)),
    "js": Function(("...",), lambda *values: _js(_text(*values))),
    "urlquery": Function(("...",), lambda *values: quote_plus(_text(*values), safe="~")),
    "eq": Function(("any", "..."), _eq),
    "ne": Function(("any", "any"), lambda one, other: not _eq(one, other)),
    "lt": Function(("any", "any"), _less),
    "le": Function(("any", "any"), lambda one, other: _less(one, other) or _eq(one, other)),
    "gt": Function(("any", "any"), lambda one, other: not (_less(one, other) or _eq(one, other))),
    "ge": Function(("any", "any"), lambda one, other: not _less(one, other)),
    "first": Function(("template.queryResult",), _first),
    "label": Function(("string", "*template.sample"), lambda name, sample: _sample(sample).labels.get(name, "")),
    "value": Function(("*template.sample",), lambda sample: _sample(sample).value),
    "strvalue": Function(("*template.sample",), lambda sample: _sample(sample).labels.get("__value__", "")),
    "sortByLabel": Function(("string", "template.queryResult"), _sorted),
    "args": Function(("...",), lambda *values: Args({f"arg{place}": value for place, value in enumerate(values)})),
    "reReplaceAll": Function(("string", "string", "string"), _replace_all, SLOW),
    "match": Function(("string", "string"), _match),
    "safeHtml": Function(("string",), Html),
    "title": Function(("string",), _title, SLOW),
    "toUpper": Function(("string",), str.upper),
    "toLower": Function(("string",), str.lower),
    "graphLink": Function(("string",), lambda expr: f"/graph?g0.expr={quote_plus(expr, safe='~')}&g0.tab=0"),
    "tableLink": Function(("string",), lambda expr: f"/graph?g0.expr={quote_plus(expr, safe='~')}&g0.tab=1"),
    "stripPort": Function(("string",), _strip_port),
    "stripDomain": Function(("string",), _strip_domain),
    "humanize": Function(("any",), humanize.humanize),
    "humanize1024": Function(("any",), humanize.humanize1024),
    "humanizeDuration": Function(("any",), humanize.humanize_duration),
    "humanizePercentage": Function(("any",), humanize.humanize_percentage),
    "humanizeTimestamp": Function(("any",), humanize.humanize_timestamp),
    "toTime": Function(("any",), humanize.to_time),
    "parseDuration": Function(("string",), _duration),
}

NAMES = frozenset({*_PURE, "query", "externalURL", "pathPrefix"})
"""What a template may call."""

"""A query's text put in order as Prometheus's format_query does (parser/prettier.go): what is short on one line."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import promql_parser as pp

from promql.series import quoted
from promql.text import Prepared, prepare
from query import numbers

WIDTH = 100
_OPS = {"Equal": "=", "NotEqual": "!=", "Re": "=~", "NotRe": "!~"}
_UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))
_WHOLE = (("y", 31_536_000_000), ("w", 604_800_000))


def pretty(text: str) -> str:
    """Return a query that promql.parse takes in one form; comments are lost."""
    prepared = prepare(text)
    return _Layout(prepared).lines(pp.parse(prepared.text), 0)


class _Layout:
    def __init__(self, prepared: Prepared) -> None:
        self._at_ms = prepared.at_ms
        self._regexes = prepared.regexes

    def lines(self, node: Any, level: int) -> str:  # noqa: PLR0911 - one arm per node
        """Return a node over several lines if it is long, each part a level deeper."""
        pad = "  " * level
        line = self.line(node)
        if len(line) + len(pad) <= WIDTH:
            return pad + line
        match node:
            case pp.AggregateExpr():
                parts = [node.expr] if node.param is None else [node.param, node.expr]
                return self._block(pad, self._aggregation(node), parts, level)
            case pp.Call():
                return self._block(pad, node.func.name, node.args, level)
            case pp.ParenExpr():
                return self._block(pad, "", [node.expr], level)
            case pp.BinaryExpr():
                sides = [self.lines(side, level + 1) for side in (node.lhs, node.rhs)]
                return f"{sides[0]}\n{pad}{_operator(node)}\n{sides[1]}"
            case pp.SubqueryExpr():
                return self.lines(node.expr, level) + self._window(node)
            case pp.UnaryExpr():
                return f"{pad}-{self.lines(node.expr, level).lstrip()}"
        return pad + line

    def _block(self, pad: str, head: str, parts: Sequence[Any], level: int) -> str:
        inner = ",\n".join(self.lines(part, level + 1) for part in parts)
        return f"{pad}{head}(\n{inner}\n{pad})"

    def line(self, node: Any) -> str:  # noqa: PLR0911 - one arm per node
        """Return a node on one line."""
        match node:
            case pp.NumberLiteral():
                return numbers.text(node.val)
            case pp.StringLiteral():
                return quoted(node.val)
            case pp.ParenExpr():
                return f"({self.line(node.expr)})"
            case pp.UnaryExpr():
                return f"-{self.line(node.expr)}"
            case pp.VectorSelector():
                return self._series(node) + self._moved(node)
            case pp.MatrixSelector():
                select = node.vector_selector
                return f"{self._series(select)}[{_duration(node.range)}]{self._moved(select)}"
            case pp.SubqueryExpr():
                return self.line(node.expr) + self._window(node)
            case pp.Call():
                return f"{node.func.name}({', '.join(self.line(arg) for arg in node.args)})"
            case pp.AggregateExpr():
                param = "" if node.param is None else f"{self.line(node.param)}, "
                return f"{self._aggregation(node)}({param}{self.line(node.expr)})"
        return f"{self.line(node.lhs)} {_operator(node)} {self.line(node.rhs)}"

    def _aggregation(self, node: Any) -> str:
        if node.modifier is None:
            return str(node.op)
        word = "without" if node.modifier.type == pp.AggModifierType.Without else "by"
        return f"{node.op} {word} ({_names(node.modifier.labels)}) "

    def _window(self, node: Any) -> str:
        step = "" if node.step is None else _duration(node.step)
        return f"[{_duration(node.range)}:{step}]{self._moved(node)}"

    def _moved(self, node: Any) -> str:
        text = ""
        if node.at is not None:
            kind = str(node.at.type).rpartition(".")[2]
            if kind in ("Start", "End"):
                text = f" @ {kind.lower()}()"
            else:
                text = f" @ {self._at_ms[round(node.at.at.timestamp())] / 1000:.3f}"
        if node.offset:
            sign = "-" if node.offset < timedelta(0) else ""
            text += f" offset {sign}{_duration(abs(node.offset))}"
        return text

    def _series(self, node: Any) -> str:
        matchers = []
        for one in node.matchers.matchers:
            op = _OPS[str(one.op).rpartition(".")[2]]
            value = self._regexes[one.value] if op in ("=~", "!~") else one.value
            matchers.append(f"{_name(one.name)}{op}{quoted(value)}")
        name = node.name or ""
        if name and not _plain(name, ":"):
            # A name of other characters stands in the braces.
            return f"{{{','.join([quoted(name), *matchers])}}}"
        return name + (f"{{{','.join(matchers)}}}" if matchers or not name else "")


def _operator(node: Any) -> str:
    text = str(node.op)
    modifier = node.modifier
    if modifier is None:
        return text
    text += " bool" if modifier.return_bool else ""
    grouped = {"ManyToOne": "group_left", "OneToMany": "group_right"}.get(str(modifier.card).rpartition(".")[2], "")
    if modifier.matching is not None and (grouped or modifier.matching.labels or _is_on(modifier)):
        text += f" {'on' if _is_on(modifier) else 'ignoring'} ({_names(modifier.matching.labels)})"
    return f"{text} {grouped} ({_names(modifier.group_labels or ())})" if grouped else text


def _is_on(modifier: Any) -> bool:
    return bool(modifier.matching.type == pp.LabelModifierType.Include)


def _names(names: Sequence[str]) -> str:
    return ", ".join(_name(name) for name in names)


def _name(name: str) -> str:
    return name if _plain(name, "") else quoted(name)


def _plain(name: str, more: str) -> bool:
    return name.isascii() and all(char.isalnum() or char in "_" + more for char in name) and not name[:1].isdigit()


def _duration(duration: timedelta) -> str:
    """Return Prometheus's form (model.Duration): years and weeks only where nothing is left over."""
    left = duration // timedelta(milliseconds=1)
    text = ""
    for unit, size in _WHOLE:
        if left and left % size == 0:
            return f"{left // size}{unit}"
    for unit, size in _UNITS:
        if left >= size:
            text += f"{left // size}{unit}"
            left %= size
    return text or "0s"

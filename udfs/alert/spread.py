"""How an expression may be spread over keys: which labels must be equal for two series to meet in one evaluation.

A large rule is then judged by many subtasks, each holding whole groups. The analysis is a walk over the syntax tree,
from the selectors up; what it cannot prove is kept together under one key.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import xxhash

from promql.plan import Aggregate, Binary, Call, Expr, Negate, Number, Select, Subquery, Text, Window
from schemas.batch import Series

# Most keys of one rule, by default. A bucket holds many groups, judged in one vectorised evaluation. A key costs 0.6 ms
# at each tick, a series 7 us: more keys than subtasks only cost. Another number is another state (match.shape_of).
BUCKETS = 2

# The result for one label set depends on series that this walk cannot name, or the labels are rewritten.
_WHOLE = {"absent", "absent_over_time", "scalar", "vector", "label_replace", "label_join", "info"}
_OF_NOTHING = {"absent", "absent_over_time", "scalar"}
_WITHOUT_LE = {"histogram_quantile", "histogram_fraction"}


@dataclass(frozen=True, slots=True)
class Spread:
    """Series that agree on these labels stay together: `by` names, or all labels without `names` and __name__."""

    by: bool
    names: frozenset[str]

    def meet(self, other: "Spread") -> "Spread":
        """Return the finest spread that keeps together what either of the two does."""
        if self.by and other.by:
            return Spread(True, self.names & other.names)
        if self.by:
            return Spread(True, self.names - other.names)
        if other.by:
            return Spread(True, other.names - self.names)
        return Spread(False, self.names | other.names)

    def bucket(self, series: Series, buckets: int = BUCKETS) -> int:
        """Return the key number of a series, in [0, buckets)."""
        return self.group(series) % buckets

    def group(self, series: Series) -> int:
        """Return a hash of what a series must share with another to meet it in an evaluation."""
        if self.by and not self.names:
            return 0
        parts = [
            text
            for name, value in sorted((("__name__", series.name), *series.labels))
            if value and self.parts(name)
            for text in (name, value)
        ]
        return xxhash.xxh3_64_intdigest(b"\xff".join(part.encode() for part in parts))

    def parts(self, name: str) -> bool:
        """Tell whether series that differ in this label are kept apart."""
        return name in self.names if self.by else name != "__name__" and name not in self.names

    def __str__(self) -> str:
        return f"{'by' if self.by else 'without'} ({', '.join(sorted(self.names))})"


EACH = Spread(False, frozenset())
WHOLE = Spread(True, frozenset())


def spread_of(expr: Expr, recorded: Mapping[str, Spread] = MappingProxyType({})) -> Spread:  # noqa: PLR0911 - one arm per node
    """Return how the series of an expression may be spread. recorded: how those are that another rule records."""
    match expr:
        case Number() | Text():
            return EACH
        case Select():
            return recorded.get(expr.metric, EACH)
        case Window():
            return recorded.get(expr.select.metric, EACH)
        case Negate():
            return spread_of(expr.expr, recorded)
        case Aggregate():
            inner = spread_of(expr.expr, recorded)
            if expr.op == "count_values" and isinstance(expr.param, Text):
                # The label that it sets says nothing about the series any more.
                inner = inner.meet(Spread(False, frozenset({expr.param.value})))
            elif expr.param is not None:
                inner = inner.meet(spread_of(expr.param, recorded))
            return inner.meet(Spread(not expr.without, frozenset(expr.labels)))
        case Binary():
            both = spread_of(expr.lhs, recorded).meet(spread_of(expr.rhs, recorded))
            on = expr.matching
            return both if on is None else both.meet(Spread(on.on, frozenset(on.labels)))
        # A vector of no series, as hour() is, would stand in every bucket.
        case Call() if expr.function not in _WHOLE and (expr.args or expr.kind == "scalar"):
            found = EACH if expr.function not in _WITHOUT_LE else Spread(False, frozenset({"le"}))
            for argument in expr.args:
                found = found.meet(spread_of(argument, recorded))
            return found
        case _:
            return WHOLE


def answers_silence(expr: Expr) -> bool:
    """Tell whether the expression may have an answer where no series has a sample: absent(x), vector(1), x or time().

    It errs to the side of yes.
    """
    match expr:
        case Number() | Text():
            return True
        case Call():
            return expr.function in _OF_NOTHING or all(answers_silence(one) for one in expr.args)
        case Aggregate() | Negate() | Subquery():
            return answers_silence(expr.expr)
        case Binary():
            left, right = answers_silence(expr.lhs), answers_silence(expr.rhs)
            return left or right if expr.op == "or" else left and (right or expr.op == "unless")
        case _:
            return False

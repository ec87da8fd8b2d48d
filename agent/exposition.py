"""Text of a metrics endpoint to samples: Prometheus text format 0.0.4 and OpenMetrics 1.0."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import methodcaller

from agent import lines
from agent.target import Labels, relabel
from schemas.batch import Series

# What schemas/avro/series_set.avsc knows; the rest of OpenMetrics' types (gaugehistogram) has no word of its own there.
_TYPES = frozenset({"gauge", "counter", "histogram", "summary", "info", "stateset"})
# What a family of such a type has beside the samples of its own name.
_SUFFIXES = {
    "_total": ("counter",),
    "_bucket": ("histogram",),
    "_sum": ("histogram", "summary"),
    "_count": ("histogram", "summary"),
    "_info": ("info",),
    "_created": ("counter", "histogram", "summary"),
}

# The gate takes 20 labels of 2,048 characters; of a series with thousands it refuses the set that it stands in.
MAX_LINE = 64 << 10

Sample = tuple[Series, float]

_bare = methodcaller("strip", " \t\r")


@dataclass(slots=True)
class Exposition:
    """Parses one endpoint's text again and again.

    The series of a line that was there the last time is taken from memory, which is what keeps the agent's own cost
    low. What Prometheus takes is taken: OpenMetrics asks more of an endpoint (order, groups, what a histogram may
    hold), and a scrape that failed for it would lose what a Prometheus beside it has.
    """

    job: str
    instance: str
    _seen: dict[str, Series] = field(default_factory=dict)
    _comments: list[str] = field(default_factory=list)
    _types: dict[str, str] = field(default_factory=dict)
    _units: dict[str, str] = field(default_factory=dict)

    def parse(self, text: str, openmetrics: bool = False) -> list[Sample]:
        """Return the samples in order, a series given twice only once (the first); raises ValueError.

        Timestamps in the text are not used: every sample of a round carries the round's own.
        """
        told = [line for line in map(_bare, text.split("\n")) if line]
        if openmetrics and (told[-1:] != ["# EOF"] or told.count("# EOF") != 1):
            raise ValueError("# EOF is not the last line, and alone: the answer was cut, or is more than one")
        self._learn([line for line in told if line[0] == "#" and not line.startswith("# HELP")], openmetrics)
        seen = self._seen
        first: dict[tuple[str, Labels], Sample] = {}
        for line in told:
            if line[0] == "#":
                continue
            head, _, last = line.rpartition(" ")
            series = seen.get(head)
            if series is None or "\t" in last:
                series, value = self._parsed(line, openmetrics)
            else:
                value = lines.number(last)
            first.setdefault((series.name, series.labels), (series, value))
        if len(seen) > 2 * len(told):
            # Most of it is of series that are gone.
            seen.clear()
        return list(first.values())

    def _learn(self, comments: Sequence[str], openmetrics: bool) -> None:
        """Take types and units from comments, wherever they stand; the last of a name holds."""
        if comments == self._comments:
            return
        self._seen, self._comments = {}, []
        known: dict[str, dict[str, str]] = {"TYPE": {}, "UNIT": {}}
        for line in comments:
            if about := lines.meta(line, openmetrics):
                what, name, which = about
                known[what][name] = which
        self._types, self._units, self._comments = known["TYPE"], known["UNIT"], list(comments)

    def _parsed(self, line: str, openmetrics: bool) -> Sample:
        if len(line) > MAX_LINE:
            raise ValueError(f"a line of {len(line)} characters, {MAX_LINE} are the limit")
        name, labels, rest = lines.series(line)
        value = lines.value(rest, openmetrics)
        series = Series(name, relabel(labels, self.job, self.instance), *self._about(name))
        # Of a line with more than its value the head is not the series alone.
        head, _, last = line.rpartition(" ")
        if last == rest:
            self._seen[head] = series
        return series, value

    def _about(self, name: str) -> tuple[str, str]:
        """Return the type and unit of a sample's family."""
        family, suffix = name, ""
        if name not in self._types:
            bare, underscore, last = name.rpartition("_")
            suffix = underscore + last
            if self._types.get(bare) not in _SUFFIXES.get(suffix, ()):
                return "unknown", self._units.get(name, "")
            family = bare
        if suffix == "_created":
            return "gauge", "seconds"
        kind = self._types[family]
        return kind if kind in _TYPES else "unknown", self._units.get(family, "")

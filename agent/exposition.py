"""Text of a metrics endpoint to samples: Prometheus text format 0.0.4 and OpenMetrics 1.0."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from math import isnan

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from agent.target import Labels, relabel
from schemas.batch import Series

# What schemas/avro/series_set.avsc knows; the rest of OpenMetrics' types (gaugehistogram) has no word of its own there.
_TYPES = frozenset({"gauge", "counter", "histogram", "summary", "info", "stateset"})

# prometheus_client takes the square of a line's length: five seconds for an MB of quotes in a label. The gate takes 20
# labels of 2,048 characters.
MAX_LINE = 64 << 10

Sample = tuple[Series, float]


@dataclass(slots=True)
class Exposition:
    """Parses one endpoint's text again and again.

    prometheus_client walks a line character by character (about 30 us); the series of a line seen before is
    taken from memory instead, which is what keeps the agent's own cost low.
    """

    job: str
    instance: str
    _seen: dict[str, Series] = field(default_factory=dict)
    _types: list[str] = field(default_factory=list)

    def parse(self, text: str, openmetrics: bool = False) -> list[Sample]:
        """Return the samples in order, a series given twice only once (the first); raises ValueError.

        Timestamps in the text are not used: every sample of a round carries the round's own.
        """
        lines = [line for line in map(str.strip, text.split("\n")) if line]
        if (longest := max(map(len, lines), default=0)) > MAX_LINE:
            raise ValueError(f"a line of {longest} characters, {MAX_LINE} are the limit")
        types = [line for line in lines if line.startswith(("# TYPE", "# UNIT"))]
        data = [line for line in lines if not line.startswith("#")]
        samples = self._from_memory(data) if types == self._types and _ended(lines, openmetrics) else None
        if samples is None:
            samples = self._parsed(text, data, openmetrics)
            self._types = types
        first: dict[tuple[str, Labels], Sample] = {}
        for sample in samples:
            first.setdefault((sample[0].name, sample[0].labels), sample)
        return list(first.values())

    def _from_memory(self, data: list[str]) -> list[Sample] | None:
        samples = []
        for line in data:
            head, _, value = line.rpartition(" ")
            series = self._seen.get(head)
            if series is None or "_" in value:
                return None
            try:
                samples.append((series, float(value)))
            except ValueError:
                return None
        return samples

    def _parsed(self, text: str, data: list[str], openmetrics: bool) -> list[Sample]:
        families: Iterable[Metric] = (
            parse_openmetrics(text)  # type: ignore[no-untyped-call]  # prometheus_client types only the other parser
            if openmetrics
            else parse_prometheus(text)
        )
        try:
            samples = list(self._named(families, iter(data)))
        except Exception as error:  # prometheus_client raises plain exceptions of many types on odd text
            raise ValueError(f"{type(error).__name__}: {error}"[:300]) from error
        if len(samples) != len(data):
            raise ValueError(f"{len(samples)} samples in {len(data)} lines")
        self._seen = {}
        for line, (series, value) in zip(data, samples, strict=True):
            head, _, last = line.rpartition(" ")
            # A line with its own timestamp or an exemplar ends in something else than its value.
            if _is_number(last, value) and _is_series(head):
                self._seen[head] = series
        return samples

    def _named(self, families: Iterable[Metric], data: Iterator[str]) -> Iterator[Sample]:
        for family in families:
            kind = family.type if family.type in _TYPES else "unknown"
            # Both parsers give one sample a line, in order. The name is the line's own, since prometheus_client
            # appends _total to the counters of format 0.0.4, which Prometheus does not.
            for sample, line in zip(family.samples, data, strict=False):
                bare = line.split("{", 1)[0].split(None, 1)
                name = bare[0] if bare else sample.name
                created = name.endswith("_created") and kind in ("counter", "histogram", "summary")
                labels = relabel(sample.labels, self.job, self.instance)
                yield (
                    Series(name, labels, "gauge" if created else kind, "seconds" if created else family.unit),
                    float(sample.value),
                )


def _ended(lines: list[str], openmetrics: bool) -> bool:
    return not openmetrics or lines[-1:] == ["# EOF"]


def _is_number(text: str, value: float) -> bool:
    try:
        number = float(text)
    except ValueError:
        return False
    return number == value or (isnan(number) and isnan(value))


def _is_series(head: str) -> bool:
    return (head.endswith("}") and " # " not in head) or len(head.split()) == 1

"""Scenarios as text: input series, a rule and its edits, and the events that must come out, each with its event time.

interval: 15s                 of the rule, and between two samples of the input
input:                        promtool's notation; a series' samples begin at 0s
  up{instance="a"}: 1x3 0x20
rule: {alert, expr, for, keep_firing_for, labels, annotations}
edits: {2m: {...}, 5m: null}  what the rule becomes, before the tick of that time; null deletes it
late: [{at: 2m, input: {up{instance="a"}: _ _ 0}}]   optional: samples that come when the watermark is at that time
until: 10m                    how far the watermark goes; the end of the input if left out
events:                       time state {labels without alertname} value
  - 1m pending {instance="a"} 0
sent:                         optional, in folder sends/: everything that is sent, resends too, of the one instance
  - 1m firing seq 2 again 1 starts 0s ends 5m
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from promql.columns import NAME
from schemas.batch import Batch, Series, encode_series_set
from schemas.ids import series_id
from schemas.nan import MISSING
from tests.notation import parse_series
from tests.udfs.alert.fakeflink import FakeFlink
from udfs.alert.rule import Rule
from udfs.alert.rulefile import parse_duration
from udfs.alert.template import go_float

T0 = 1_699_999_200_000  # a full hour
SHARDS = 2


@dataclass(frozen=True)
class Delivery:
    at: int
    batch: Batch


@dataclass(frozen=True)
class Scenario:
    name: str
    rules: list[tuple[int, Rule | None]]
    deliveries: list[Delivery]
    until: int
    events: list[str]
    sent: list[str]

    def run(
        self,
        disturb: Callable[[FakeFlink], None] = lambda job: None,
        shuffle: random.Random | None = None,
    ) -> FakeFlink:
        """Play the scenario; shuffle delivers what lies between two ticks in another order, and some of it twice."""
        job = FakeFlink(disturb)
        key = next(rule.key for _, rule in self.rules if rule is not None)
        times = sorted({T0 + at for at, _ in self.rules} | {one.at for one in self.deliveries})
        for at in times:
            for when, rule in self.rules:
                if T0 + when == at:
                    job.rule(key, None if rule is None else rule.encode())
            here = [one for one in self.deliveries if one.at == at]
            if shuffle is not None:
                here = shuffle.sample(here, len(here)) + [one for one in here if shuffle.random() < 0.5]
            for one in here:
                job.batch(one.batch, one.at)
            job.advance(at)
        job.advance(T0 + self.until)
        return job


def load(path: Path) -> Scenario:
    """Return the scenario of a file."""
    text = yaml.safe_load(path.read_text())
    interval = round(parse_duration(text["interval"]) * 1000)
    rule = _rule(text["rule"], interval)
    edits = [
        (_ms(when), None if edit is None else _rule({**text["rule"], **edit}, interval))
        for when, edit in text.get("edits", {}).items()
    ]
    deliveries = _deliveries(text["input"], interval)
    for one in text.get("late", []):
        deliveries += [replace(late, at=T0 + _ms(one["at"])) for late in _deliveries(one["input"], interval)]
    deliveries.sort(key=lambda one: one.at)
    until = _ms(text["until"]) if "until" in text else max(one.at for one in deliveries) - T0
    return Scenario(path.stem, [(0, rule), *edits], deliveries, until, text["events"], text.get("sent", []))


def _ms(text: str) -> int:
    return round(parse_duration(text) * 1000)


def _rule(fields: dict[str, Any], interval: int) -> Rule:
    return Rule(
        tenant="acme",
        rule_id=f"g/{fields['alert']}",
        group="g",
        alert=fields["alert"],
        expr=fields["expr"],
        interval_s=interval / 1000,
        for_s=parse_duration(fields.get("for", "0")),
        keep_firing_for_s=parse_duration(fields.get("keep_firing_for", "0")),
        labels=tuple(sorted(fields.get("labels", {}).items())),
        annotations=tuple(sorted(fields.get("annotations", {}).items())),
    )


def _deliveries(series: dict[str, str], interval: int) -> list[Delivery]:
    """Return one batch a step and shard, dense and sparse by turns, as the gate would send them."""
    assert all(isinstance(cells, str) for cells in series.values()), "YAML reads 0x4 as a number: quote it"
    rows = [parse_series(f"{name} {cells}", interval, T0) for name, cells in series.items()]
    kinds = [Series(labels.pop(NAME, ""), tuple(sorted(labels.items()))) for labels, _, _ in rows]
    ids = np.array([series_id("acme", one.name, one.labels) for one in kinds], np.uint64)
    made = []
    for shard in range(SHARDS):
        mine = np.flatnonzero(ids % SHARDS == shard).tolist()
        series_set = encode_series_set(kinds[place] for place in mine)
        for at in sorted({int(at) for place in mine for at in rows[place][1]}):
            cells = [rows[place][2][rows[place][1] == at] for place in mine]
            row = np.concatenate([cell if len(cell) else MISSING for cell in cells])[np.newaxis, :]
            batch = Batch("acme", "test", at, series_set, np.array([at]), row, None, ids[mine], shard)
            made.append(Delivery(at, batch if at // interval % 2 else _sparse(batch)))
    return sorted(made, key=lambda one: one.at)


def _sparse(batch: Batch) -> Batch:
    index, timestamps, values = batch.points()
    return replace(batch, index=index, timestamps=timestamps, values=values)


def lines(job: FakeFlink) -> list[str]:
    """Return the events as a scenario writes them, by time, labels and number."""
    ordered = sorted(job.events, key=lambda one: (one["evaluated_at"], sorted(one["labels"].items()), one["seq"]))
    return [
        f"{_duration(one['evaluated_at'] - T0)} {one['state']} {_braces(one['labels'])} {go_float(one['value'])}"
        for one in ordered
    ]


def sent_lines(job: FakeFlink) -> list[str]:
    """Return all that was sent, in its order, as `sent` has it."""
    made = []
    for one in job.sent:
        parts = [_duration(one["evaluated_at"] - T0), one["state"], f"seq {one['seq']}"]
        parts += [f"again {one['resend']}"] if one["resend"] else []
        parts += [f"{word} {_duration(one[f'{word}_at'] - T0)}" for word in ("starts", "ends") if one[f"{word}_at"]]
        made.append(" ".join(parts))
    return made


def _duration(milliseconds: int) -> str:
    minutes, seconds = divmod(milliseconds // 1000, 60)
    return f"{minutes}m{seconds}s" if minutes and seconds else f"{minutes}m" if minutes else f"{seconds}s"


def _braces(labels: dict[str, str]) -> str:
    inner = ", ".join(f'{name}="{value}"' for name, value in sorted(labels.items()) if name != "alertname")
    return "{" + inner + "}"

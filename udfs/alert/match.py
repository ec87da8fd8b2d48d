"""Which samples of a batch go to which key: a piece per rule and bucket, found once per series set."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import orjson
from cachetools import LRUCache

from promql.columns import NAME
from promql.match import matches
from schemas.batch import Batch, Series, decode_series_set, encode_series_set
from schemas.columns import UInt64s
from schemas.ids import set_hash
from schemas.nan import is_missing
from schemas.topics import RULE_SOURCE
from udfs.alert.book import Book
from udfs.alert.chain import silent
from udfs.alert.expression import Expression
from udfs.alert.recording import is_beat, source_of
from udfs.alert.spread import BUCKETS

# What the remembered routes of series sets may take, bytes: about 100 for each series that a rule reads. A source has a
# set a shard, and a new one when its series change; what keys of rules cost are sources of their own.
CACHED_BYTES = 64 << 20
# Of a set, and of a route, beside its series.
_BESIDE_SET, _BESIDE_ROUTE = 400, 600
# Keys whose addresses are remembered.
CACHED_KEYS = 16_384


@dataclass(frozen=True, slots=True)
class Address:
    """The key of one piece, as keyed state has it. shape is part of it: other selectors or groups are another state."""

    tenant: str
    rule_id: str
    shape: str
    bucket: int

    def __str__(self) -> str:
        return orjson.dumps([self.tenant, self.rule_id, self.shape, self.bucket]).decode()

    @classmethod
    @lru_cache(maxsize=CACHED_KEYS)
    def parse(cls, text: str) -> "Address":
        """Return the address of str()."""
        return cls(*orjson.loads(text))

    @property
    def rule(self) -> str:
        """Key of the rule on control.rules."""
        return f"{self.tenant}/{self.rule_id}"


@dataclass(frozen=True, slots=True)
class Route:
    """Where some series of a set go. places: their positions, ascending; series_set and series_ids: theirs alone."""

    address: str
    places: npt.NDArray[np.intp]
    series_set: bytes
    series_ids: UInt64s


def shape_of(expression: Expression, buckets: int) -> str:
    """Return the shape of an address: a window spread over another number of keys is another one."""
    return f"{expression.shape}/{buckets}"


class Match:
    """Splits batches of metrics.valid by the rules of a Book, each over at most so many keys."""

    def __init__(self, book: Book, buckets: int = BUCKETS, cached_bytes: int = CACHED_BYTES) -> None:
        self._book, self._buckets = book, buckets
        self._generation = -1
        self._routes: LRUCache[tuple[str, bytes], list[Route]] = LRUCache(cached_bytes, getsizeof=_size)
        self._of_nothing: list[str] | None = None

    def split(self, batch: Batch) -> Iterator[tuple[str, Batch | None]]:
        """Yield (address, piece) for each rule and bucket with a sample in the batch; ValueError without series_ids.

        The clock's beat gives None to rules that have answers without samples: nothing else would have them judged.
        Rules see plain samples only: an entry of a distribution is not a sample of its series. And no rule sees what it
        records itself, whatever its matchers: it would feed on its own answers.
        """
        if batch.weights is not None:
            return
        if is_beat(batch.source):
            yield from ((address, None) for address in self._silent())
        recorded = batch.source.startswith(RULE_SOURCE)
        for route in self._routes_of(batch):
            if recorded and batch.source == source_of(Address.parse(route.address).rule_id):
                continue
            piece = _piece(batch, route)
            if piece is not None:
                yield route.address, piece

    def _silent(self) -> list[str]:
        self._renew()
        if self._of_nothing is None:
            self._of_nothing = [
                str(Address(rule.tenant, rule.rule_id, shape_of(expression, self._buckets), 0))
                for rule, expression in self._book.all()
                if silent(expression)
            ]
        return self._of_nothing

    def _renew(self) -> None:
        if self._generation != self._book.generation:
            self._routes.clear()
            self._of_nothing = None
            self._generation = self._book.generation

    def _routes_of(self, batch: Batch) -> list[Route]:
        self._renew()
        key = batch.tenant, set_hash(batch.series_set)
        routes = self._routes.get(key)
        if routes is None:
            if batch.series_ids is None:
                raise ValueError("a batch of metrics.valid carries series ids")
            routes = list(_routes(self._book, batch.tenant, batch.series_set, batch.series_ids, self._buckets))
            if _size(routes) <= self._routes.maxsize:
                self._routes[key] = routes
        return routes


def _size(routes: list[Route]) -> int:
    """Return about how many bytes the routes of a set take."""
    held = sum(_BESIDE_ROUTE + len(one.series_set) + one.places.nbytes + one.series_ids.nbytes for one in routes)
    return _BESIDE_SET + held


def _routes(book: Book, tenant: str, series_set: bytes, series_ids: UInt64s, most: int) -> Iterator[Route]:
    series = decode_series_set(series_set)
    by_name: dict[str, list[int]] = defaultdict(list)
    for place, one in enumerate(series):
        by_name[one.name].append(place)
    for rule, expression in book.reading(tenant, by_name):
        buckets: dict[int, list[int]] = defaultdict(list)
        for place in sorted(_matched(expression, series, by_name)):
            buckets[expression.spread.bucket(series[place], most)].append(place)
        for bucket, places in buckets.items():
            address = Address(rule.tenant, rule.rule_id, shape_of(expression, most), bucket)
            yield _route(address, places, series, series_ids)


def _matched(expression: Expression, series: list[Series], by_name: dict[str, list[int]]) -> set[int]:
    found: set[int] = set()
    for selector in expression.selectors:
        candidates = by_name.get(selector.metric, ()) if selector.metric else range(len(series))
        found.update(
            place
            for place in candidates
            if matches(selector, {NAME: series[place].name, **{k: v for k, v in series[place].labels if v}})
        )
    return found


def _route(address: Address, places: list[int], series: list[Series], series_ids: UInt64s) -> Route:
    return Route(
        str(address), np.array(places), encode_series_set(series[place] for place in places), series_ids[places]
    )


def _piece(batch: Batch, route: Route) -> Batch | None:
    """Return the route's part of the batch, None if it holds no sample."""
    if batch.index is None:
        timestamps, values, index = batch.timestamps, batch.values[:, route.places], None
    else:
        at = np.searchsorted(route.places, batch.index)
        at[at == len(route.places)] = 0
        kept = route.places[at] == batch.index
        timestamps, values, index = batch.timestamps[kept], batch.values[kept], at[kept].astype(np.uint32)
    if is_missing(values).all():
        return None
    return Batch(
        tenant=batch.tenant,
        source=batch.source,
        sent_at=batch.sent_at,
        series_set=route.series_set,
        timestamps=timestamps,
        values=values,
        index=index,
        series_ids=route.series_ids,
        shard=batch.shard,
        received_at=batch.received_at,
    )

"""Which processes are shown: the largest by memory and by CPU, without flapping at the edge."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from agent.reading import Process

_Key = tuple[int, float]


@dataclass(slots=True)
class Largest:
    """Shows the `count` largest processes by memory and by CPU time since the last round.

    A process that is shown stays until it falls out of the first 2 * count by both measures: each change costs
    new series, and a staleness marker on the old ones.
    """

    count: int
    _cpu: dict[_Key, float] = field(default_factory=dict)
    _shown: set[_Key] = field(default_factory=set)

    def pick(self, processes: Iterable[Process]) -> list[Process]:
        """Return the processes to show, by pid."""
        known = {(process.pid, process.started): process for process in processes}
        # First seen counts from zero, so that the first round shows who has used most since its start.
        used = {key: process.cpu_seconds - self._cpu.get(key, 0.0) for key, process in known.items()}
        by_memory = sorted(known, key=lambda key: (-known[key].resident_bytes, key))
        by_cpu = sorted(known, key=lambda key: (-used[key], key))
        kept = self._shown & {*by_memory[: 2 * self.count], *(key for key in by_cpu[: 2 * self.count] if used[key] > 0)}
        self._shown = kept | {*by_memory[: self.count], *(key for key in by_cpu[: self.count] if used[key] > 0)}
        self._cpu = {key: process.cpu_seconds for key, process in known.items()}
        return [known[key] for key in sorted(self._shown)]

"""A rule that costs more than its budget allows waits; its alerts stay as they were until the wait is over."""

from collections.abc import Sequence
from dataclasses import replace

from schemas.batch import Batch
from udfs.alert.budget import Budget
from udfs.alert.chain import Linked
from udfs.alert.judge import retention_ms
from udfs.alert.memory import Memory
from udfs.alert.rule import Rule
from udfs.alert.window import Window

# Samples come before the tick that they are for.
_MARGIN_MS = 60_000
# No rule is silent for a day because it looks back on one.
_LONGEST_MS = 3_600_000


def resumes(rule: Rule, expression: Linked, memory: Memory) -> int:
    """Return when a pause ends: not before the window holds again what the rule looks back on. 0: there is none."""
    return max(memory.paused_until, memory.floor + _looks_back(rule, expression)) if memory.paused_until else 0


def paused(
    budget: Budget,
    rule: Rule,
    expression: Linked,
    memory: Memory,
    held: Window,
    pieces: Sequence[Batch],
    tick: int,
) -> tuple[Memory, Window]:
    """Return memory and window after a tick of the wait.

    The window is given up, but for what the rule will look back on when the pause ends: less would end alerts. If
    that is too large, the pause begins anew.
    """
    window, floor = Window.empty(rule.tenant), tick
    if tick >= memory.paused_until - _looks_back(rule, expression) - _MARGIN_MS:
        window, floor = held.append(pieces) if pieces else held, memory.floor
        window = window.trim(max(floor, tick - retention_ms(rule, expression)))
    excess = budget.size(len(window.ids), window.nbytes)
    if excess:
        memory = replace(memory, paused_until=tick + budget.pause_ms, trouble=excess)
        window, floor = Window.empty(rule.tenant), tick
    # What is gone cannot be judged again: an edit looks back to here at most.
    return replace(memory, floor=floor, judged=0, since=0, spilled=0, late_first=0, late_last=0, fired=()), window


def _looks_back(rule: Rule, expression: Linked) -> int:
    return min(expression.span_ms + rule.query_offset_ms, _LONGEST_MS)

"""A rule in trouble is an alert itself, so that whoever reads alert.events learns of it as of any other.

`RuleFailing` while its expression has no answer, `RulePaused` while it costs more than its budget allows. The other
rules, and the other keys of this one, run on.
"""

from dataclasses import replace

from udfs.alert.event import Event, events
from udfs.alert.lifecycle import Instance, Labels, Transition, forget, resend, step
from udfs.alert.match import Address
from udfs.alert.memory import Memory
from udfs.alert.rule import Rule

FAILING, PAUSED = "RuleFailing", "RulePaused"


def about_of(address: Address, name: str) -> Labels:
    """Return the labels of such an alert about the rule of a key."""
    return (("alertname", name), ("bucket", str(address.bucket)), ("rule", address.rule_id))


def summary_of(memory: Memory) -> Labels:
    """Return the annotation that says what is wrong, if anything is."""
    return (("summary", memory.trouble),) if memory.trouble else ()


def troubles(address: Address, rule: Rule, memory: Memory, tick: int, now_ms: int) -> tuple[Memory, list[Event]]:
    """Step the alerts about the rule itself."""
    about = replace(rule, for_s=0, keep_firing_for_s=0, annotations=())
    wrong = PAUSED if memory.paused_until else FAILING if memory.trouble else ""
    known = {dict(one.labels)["alertname"]: one for one in memory.troubles}
    instances: list[Instance] = []
    made: tuple[Transition, ...] = ()
    for name in (FAILING, PAUSED):
        labels = about_of(address, name)
        instance = known.get(name) or Instance(labels)
        if name != wrong and not instance.seq:
            continue
        instance, entered = step(instance, 1.0 if name == wrong else None, tick, about)
        if not entered:
            instance, entered = resend(instance, tick, about)
        instances.append(instance)
        made += entered
    said = events(made, about, address, rule.revision, now_ms, summary_of(memory))
    return replace(memory, troubles=tuple(forget(instances, tick))), said

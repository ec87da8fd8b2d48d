"""YAML read strictly: a key given twice, and a value that is none of its kind, are faults that know their line."""

from collections.abc import Callable
from typing import Any, TypeVar

import yaml

T = TypeVar("T")

# What PyYAML lets out beside errors of its own, where a text asks chr(), int() or datetime for what there is not, or
# says !!bool or !!timestamp of something else.
_LET_OUT = (ArithmeticError, AttributeError, LookupError, ValueError)


class YamlFault(ValueError):
    """A text that cannot be read; line is 0 where it is not known."""

    def __init__(self, reason: str, line: int = 0) -> None:
        super().__init__(f"line {line}: {reason}" if line else reason)
        self.reason = reason
        self.line = line


# Aliases make of a few hundred bytes more values than fit into memory, once they are walked or shown in a message.
_MOST_VALUES = 1 << 20


class _Composer(yaml.SafeLoader):
    def get_single_node(self) -> yaml.Node | None:
        node: yaml.Node | None = super().get_single_node()
        known: dict[int, int] = {}
        if node is not None and _values(node, known) > max(_MOST_VALUES, len(known)):
            raise yaml.YAMLError(f"its aliases make more than {_MOST_VALUES} values of it")
        return node


class _Loader(_Composer):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        # Not where a mapping is constructed: by then what << brings stands among its keys.
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if (key.tag, key.value) in seen:
                raise _marked(f"key {key.value[:80]!r} is given twice", key)
            seen.add((key.tag, key.value))
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            return super().construct_object(node, deep)
        try:
            found = super().construct_object(node, deep)
            # Half a surrogate pair and 0x… of more than 4300 digits are taken, but no message could show them.
            str(found).encode()
        except _LET_OUT as error:
            raise _marked(f"{node.value[:80]!r} is no valid {node.tag.rpartition(':')[2]}", node) from error
        return found


def nodes(text: str) -> yaml.Node | None:
    """Return what a text consists of, None if it is empty; keys may be given twice. Raises YamlFault."""
    return _guarded(lambda: yaml.compose(text, Loader=_Composer))


def load(text: str) -> Any:
    """Return what a text holds; raises YamlFault."""
    return _guarded(lambda: yaml.load(text, Loader=_Loader))


def _values(node: yaml.Node, known: dict[int, int]) -> int:
    """Return the values that a node holds, those behind an alias each time; what lies in itself counts once.

    known: the same of each node that was met, by its identity.
    """
    size = known.get(id(node))
    if size is None:
        known[id(node)] = size = 1
        if isinstance(node, yaml.SequenceNode):
            size += sum(_values(one, known) for one in node.value)
        elif isinstance(node, yaml.MappingNode):
            size += sum(_values(key, known) + _values(value, known) for key, value in node.value)
        known[id(node)] = size
    return size


def _marked(reason: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=reason, problem_mark=node.start_mark)


def _guarded(read: Callable[[], T]) -> T:
    try:
        return read()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise YamlFault(f"{error.problem or error.context}"[:300], line) from error
    except RecursionError:
        raise YamlFault("it is nested too deeply") from None
    except (yaml.YAMLError, *_LET_OUT) as error:
        raise YamlFault(" ".join(str(error).split())[:300]) from error

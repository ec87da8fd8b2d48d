"""A template's tree and its data to text (text/template/exec.go), within a bound of output."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from udfs.template.errors import ExecError
from udfs.template.machine import Machine, encodable
from udfs.template.tree import Action, Branch, Include, Leave, Node, Plain, Tree
from udfs.template.values import MAX_TEXT, MISSING, Data, Function, Missing, Sample, Value, shown, truth

MAX_INCLUDES = 100


class _Leaving(Exception):
    """A {{break}} or {{continue}} on its way to the range."""


def run(tree: Tree, name: str, data: Data, functions: Mapping[str, Function], variables: Mapping[str, Value]) -> str:
    """Return what the template says of the data; raises ExecError."""
    walker = _Walker(Machine(tree, name, functions, [("$", data), *variables.items()]))
    try:
        walker.walk(data, tree.body)
    except RecursionError as error:
        raise ExecError(f"template: {name}: it nests too deep") from error
    return encodable("".join(walker.out))


class _Walker:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.out: list[str] = []
        self._size = 0
        self._includes = 0

    def write(self, value: Value) -> None:
        try:
            text = shown(value, MAX_TEXT - self._size)
        except ValueError as error:
            raise self.machine.fail(f"the output is longer than {MAX_TEXT} characters") from error
        self._size += len(text)
        self.out.append(text)

    def walk(self, dot: Value, nodes: Sequence[Node]) -> None:
        for node in nodes:
            match node:
                case Plain():
                    self.write(node.text)
                case Action():
                    self.machine.at(node.pipe)
                    value = self.machine.pipe(dot, node.pipe)
                    if not node.pipe.names:
                        self.write(value)
                case Branch():
                    self.branch(dot, node)
                case Leave():
                    raise _Leaving(node.kind)
                case Include():
                    self.include(dot, node)

    def branch(self, dot: Value, node: Branch) -> None:
        mark = len(self.machine.variables)
        value = self.machine.pipe(dot, node.pipe)
        if node.kind == "range":
            self.loop(dot, value, node)
        elif truth(value):
            self.walk(value if node.kind == "with" else dot, node.body)
        else:
            self.walk(dot, node.otherwise)
        del self.machine.variables[mark:]

    def loop(self, dot: Value, value: Value, node: Branch) -> None:
        names, empty = node.pipe.names, True
        for index, element in self.pairs(value):
            empty = False
            self.machine.at(node.pipe)
            mark = len(self.machine.variables)
            if names:
                self.machine.assign(names[-1], element)
                if len(names) > 1:
                    self.machine.assign(names[0], index)
            try:
                self.walk(element, node.body)
            except _Leaving as leaving:
                if str(leaving) == "break":
                    break
            finally:
                del self.machine.variables[mark:]
        if empty:
            self.walk(dot, node.otherwise)

    def pairs(self, value: Value) -> Iterator[tuple[Value, Value]]:
        """Return (index or key, element) of what a range goes over."""
        match value:
            case Missing() | None:
                return iter(())
            case bool() | float() | str() | Data() | datetime() | Sample():
                raise self.machine.fail(f"range can't iterate over {shown(value)}")
            case int():
                return ((MISSING, number) for number in range(value))
            case Mapping():
                self.machine.pay((value,))
                return iter([(key, value[key]) for key in sorted(value)])
        return enumerate(value)

    def include(self, dot: Value, node: Include) -> None:
        self.machine.at(node)
        if node.name not in self.machine.tree.defined:
            raise self.machine.fail(f'template "{node.name}" not defined')
        self._includes += 1
        if self._includes > MAX_INCLUDES:
            raise self.machine.fail("exceeded maximum template depth")
        inner = MISSING if node.pipe is None else self.machine.pipe(dot, node.pipe)
        kept, self.machine.variables = self.machine.variables, [("$", inner)]
        outside, self.machine.inside = self.machine.inside, node.name
        self.walk(inner, self.machine.tree.defined[node.name])
        self.machine.variables, self.machine.inside = kept, outside
        self._includes -= 1

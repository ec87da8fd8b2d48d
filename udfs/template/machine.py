"""Pipelines, operands and calls of a template to values (text/template/exec.go), within a bound of steps."""

import re
from collections.abc import Mapping, Sequence, Sized
from datetime import datetime
from functools import partial

from udfs.template.errors import ExecError
from udfs.template.moment import METHODS
from udfs.template.quote import quoted
from udfs.template.tree import Chain, Command, Dot, Field, Literal, Node, Operand, Pipe, Tree, Variable, Word
from udfs.template.values import MAX_TEXT, MISSING, SLOW, Function, Missing, Value, field_of, truth, type_of

MAX_STEPS = 100_000
# A function reads what it is given and writes what it gives: so many characters or items of it are a step.
_PER_STEP = 32
_SURROGATE = re.compile("[\ud800-\udfff]")


def encodable(text: str) -> str:
    """Return a text that can be encoded, whatever the data held: an event must not fail for its words."""
    return _SURROGATE.sub("\ufffd", text)


class Machine:
    """Evaluates pipelines of one tree; where it is, for errors, and how many steps are left."""

    def __init__(
        self, tree: Tree, name: str, functions: Mapping[str, Function], variables: list[tuple[str, Value]]
    ) -> None:
        self.tree, self.name, self.functions, self.variables = tree, name, functions, variables
        # The template that is at work: this one, or one that it defines.
        self.inside = name
        self._steps = 0
        self._at: tuple[int, object] | None = None

    def at(self, node: Operand | Command | Node) -> None:
        """Remember where we are, for errors; count the step."""
        self._at = node.at, node
        self._count(1)

    def _count(self, steps: int) -> None:
        self._steps += steps
        if self._steps > MAX_STEPS:
            raise self.fail(f"more than {MAX_STEPS} steps")

    def fail(self, reason: str) -> ExecError:
        """Return the error as Go words it."""
        if self._at is None:
            return ExecError(f"template: {self.name}: {reason}")
        place, node = self._at
        before = self.tree.text[:place]
        line = 1 + before.count("\n")
        column = len(before.rpartition("\n")[2].encode())
        return ExecError(
            f"template: {self.name}:{line}:{column}: executing {quoted(self.inside)} at <{node}>: {encodable(reason)}"
        )

    def assign(self, name: str, value: Value) -> None:
        """Set the variable of this name that is nearest."""
        for place in range(len(self.variables) - 1, -1, -1):
            if self.variables[place][0] == name:
                self._count((len(self.variables) - place) // _PER_STEP)
                self.variables[place] = name, value
                return
        raise self.fail(f"undefined variable: {name}")

    def pipe(self, dot: Value, pipe: Pipe) -> Value:
        """Return a pipeline's value; its variables are set."""
        self.at(pipe)
        value: Value = MISSING
        for place, command in enumerate(pipe.commands):
            value = self._command(dot, command, (value,) if place else ())
            if value is None:
                value = MISSING  # as Go looks into an interface, in which there is nothing
        for name in pipe.names:
            if pipe.assigns:
                self.assign(name, value)
            else:
                self.variables.append((name, value))
        return value

    def _command(self, dot: Value, command: Command, final: tuple[Value, ...]) -> Value:
        first, args = command.args[0], command.args[1:]
        if isinstance(first, Word):
            self.at(first)
            return self._call(dot, first.name, command, args, final)
        if isinstance(first, Field | Variable | Chain):
            return self._read(dot, first, args, final)
        self.at(first)
        if args or final:
            raise self.fail(f"can't give argument to non-function {first}")
        if isinstance(first, Literal) and first.value is None:
            raise self.fail("nil is not a command")
        return self._operand(dot, first)

    def _operand(self, dot: Value, node: Operand) -> Value:
        """Return the value of an argument."""
        self.at(node)
        match node:
            case Literal():
                return node.value
            case Dot():
                return dot
            case Pipe():
                return self.pipe(dot, node)
            case Word():
                return self._call(dot, node.name, node, [], ())
        return self._read(dot, node, [], ())

    def _read(
        self, dot: Value, node: Field | Variable | Chain, args: Sequence[Operand], final: tuple[Value, ...]
    ) -> Value:
        self.at(node)
        match node:
            case Field():
                value, names = dot, node.names
            case Variable():
                value, names = self._variable(node.names[0]), node.names[1:]
            case Chain():
                value, names = self._operand(dot, node.node), node.names
        if not names and (args or final):
            raise self.fail(f"can't give argument to non-function {node}")
        self._count(len(names))
        for place, name in enumerate(names):
            last = place == len(names) - 1
            value = self._member(dot, value, name, args if last else [], final if last else ())
        return value

    def _variable(self, name: str) -> Value:
        for passed, (known, value) in enumerate(reversed(self.variables)):
            if known == name:
                self._count(passed // _PER_STEP)
                return value
        raise self.fail(f"undefined variable: {name}")

    def _member(self, dot: Value, value: Value, name: str, args: Sequence[Operand], final: tuple[Value, ...]) -> Value:
        if isinstance(value, Missing):
            return MISSING
        if isinstance(value, datetime) and name in METHODS:
            takes, method = METHODS[name]
            given = self._arguments(dot, name, takes, args, final)
            return self._made(name, Function(takes, partial(method, value), SLOW), given)
        try:
            found = field_of(value, name)
        except KeyError as error:
            raise self.fail(f"can't evaluate field {name} in type {type_of(value)}") from error
        if args or final:
            what = "is not a method but has arguments" if isinstance(value, Mapping) else ""
            raise self.fail(f"{name} {what or 'has arguments but cannot be invoked as function'}")
        return found

    def _call(
        self, dot: Value, name: str, node: Command | Word, args: Sequence[Operand], final: tuple[Value, ...]
    ) -> Value:
        if name in ("and", "or") and (args or final):
            value: Value = MISSING
            for arg in args:
                value = self._operand(dot, arg)
                if truth(value) == (name == "or"):
                    return value
            return final[0] if final else value
        function = self.functions[name]
        given = self._arguments(dot, name, function.takes, args, final)
        try:
            return self._made(name, function, given)
        except ValueError as error:
            self.at(node)
            raise self.fail(f"error calling {name}: {error}") from error

    def _made(self, name: str, function: Function, given: Sequence[Value]) -> Value:
        """Return what a function makes of its arguments; those and the result cost steps by their length."""
        self.pay(given, function.weight)
        result = function.call(*given)
        if isinstance(result, str) and len(result) > MAX_TEXT:
            raise self.fail(f"the value of {name} is longer than {MAX_TEXT} characters")
        self.pay((result,), function.weight)
        return result

    def pay(self, values: Sequence[Value], weight: int = 1) -> None:
        """Count the steps that values cost by their length."""
        self._count(sum(len(one) * weight // _PER_STEP for one in values if isinstance(one, Sized)))

    def _arguments(
        self, dot: Value, name: str, takes: tuple[str, ...], args: Sequence[Operand], final: tuple[Value, ...]
    ) -> list[Value]:
        """Return the values of a call's arguments, each of the type that is due."""
        many = bool(takes) and takes[-1] == "..."
        fixed = takes[:-1] if many else takes
        count = len(args) + len(final)
        if many and count < len(fixed):
            raise self.fail(f"wrong number of args for {name}: want at least {len(fixed)} got {len(args)}")
        if not many and count != len(fixed):
            raise self.fail(f"wrong number of args for {name}: want {len(fixed)} got {count}")
        types = [*fixed, *(["any"] * (count - len(fixed)))]
        values = [self._due(dot, arg, kind) for arg, kind in zip(args, types, strict=False)]
        return values + [self._of_type(value, types[-1]) for value in final]

    def _due(self, dot: Value, node: Operand, kind: str) -> Value:
        value = self._operand(dot, node)
        if isinstance(node, Literal):
            if node.value is None:
                if kind not in ("any", "template.queryResult", "*template.sample"):
                    raise self.fail(f"cannot assign nil to {kind}")
            elif kind == "string" and not isinstance(node.value, str):
                raise self.fail(f"expected string; found {node}")
            elif kind not in ("any", "string", type_of(node.value)):
                raise self.fail(f"can't handle {node} for arg of type {kind}")
        return self._of_type(value, kind)

    def _of_type(self, value: Value, kind: str) -> Value:
        if kind == "any":
            return None if isinstance(value, Missing) else value
        if type_of(value) == kind:
            return value
        if isinstance(value, Missing | None):
            if kind in ("template.queryResult", "*template.sample"):
                return None
            raise self.fail(f"invalid value; expected {kind}")
        raise self.fail(f"wrong type for value; expected {kind}; got {type_of(value)}")

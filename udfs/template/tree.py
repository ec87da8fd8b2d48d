"""The nodes of a parsed template. str() is Go's spelling of a node, which errors quote; at is its place in the text."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Literal:
    """A string, character, number, bool or nil. value: str, int, float, bool or None; text: its spelling."""

    value: str | float | None
    text: str
    at: int

    def __str__(self) -> str:
        return self.text


@dataclass(slots=True)
class Dot:
    """The value that the template is at."""

    at: int

    def __str__(self) -> str:
        return "."


@dataclass(slots=True)
class Field:
    """.A.B of dot."""

    names: tuple[str, ...]
    at: int

    def __str__(self) -> str:
        return "".join(f".{name}" for name in self.names)


@dataclass(slots=True)
class Variable:
    """$x.A.B; names[0] is $x."""

    names: tuple[str, ...]
    at: int

    def __str__(self) -> str:
        return ".".join(self.names)


@dataclass(slots=True)
class Word:
    """A function's name."""

    name: str
    at: int

    def __str__(self) -> str:
        return self.name


@dataclass(slots=True)
class Chain:
    """(…).A.B."""

    node: "Operand"
    names: tuple[str, ...]
    at: int

    def __str__(self) -> str:
        inner = f"({self.node})" if isinstance(self.node, Pipe) else str(self.node)
        return inner + "".join(f".{name}" for name in self.names)


@dataclass(slots=True)
class Command:
    """An operand, or a function or method with its arguments."""

    args: "list[Operand]"
    at: int

    def __str__(self) -> str:
        return " ".join(f"({arg})" if isinstance(arg, Pipe) else str(arg) for arg in self.args)


@dataclass(slots=True)
class Pipe:
    """Commands, each with the value of the one before as its last argument; names: the variables it sets."""

    commands: list[Command]
    at: int
    names: tuple[str, ...] = ()
    assigns: bool = False

    def __str__(self) -> str:
        said = ", ".join(self.names) + (" = " if self.assigns else " := ") if self.names else ""
        return said + " | ".join(str(command) for command in self.commands)


Operand = Literal | Dot | Field | Variable | Word | Chain | Pipe


@dataclass(slots=True)
class Plain:
    """Text outside of actions."""

    text: str
    at: int


@dataclass(slots=True)
class Action:
    """A pipe whose value is printed, unless it sets variables."""

    pipe: Pipe
    at: int


@dataclass(slots=True)
class Branch:
    """kind: if, with or range."""

    kind: str
    pipe: Pipe
    body: "list[Node]"
    otherwise: "list[Node]"
    at: int

    def __str__(self) -> str:
        return f"{{{{{self.kind} {self.pipe}}}}}"


@dataclass(slots=True)
class Leave:
    """kind: break or continue."""

    kind: str
    at: int


@dataclass(slots=True)
class Include:
    """{{template "name" pipe}}."""

    name: str
    pipe: Pipe | None
    at: int

    def __str__(self) -> str:
        return f'{{{{template "{self.name}"' + (f" {self.pipe}" if self.pipe else "") + "}}"


Node = Plain | Action | Branch | Leave | Include


@dataclass(slots=True)
class Tree:
    """A parsed template: its text, its nodes, and the templates that it defines."""

    text: str
    body: list[Node]
    defined: "dict[str, list[Node]]" = field(default_factory=dict)

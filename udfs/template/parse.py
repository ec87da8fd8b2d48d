"""From a template's tokens to its tree (text/template/parse/parse.go), with Go's errors."""

from collections.abc import Set

from udfs.template.errors import ParseError
from udfs.template.lex import Token, lex, number, unquoted
from udfs.template.quote import quoted
from udfs.template.tree import (
    Action,
    Branch,
    Chain,
    Command,
    Dot,
    Field,
    Include,
    Leave,
    Literal,
    Node,
    Operand,
    Pipe,
    Plain,
    Tree,
    Variable,
    Word,
)

MAX_DEPTH = 100
_OPERANDS = frozenset({"char", "number", "string", "keyword", "word", "field", "variable", "dot", "("})
_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "nil": None}


def parse(text: str, functions: Set[str], variables: tuple[str, ...] = ()) -> Tree:
    """Return the tree of a template; variables: what is set before it begins. Raises ParseError."""
    parser = _Parser(text, functions, variables)
    body, ended = parser.nodes(("eof",))
    assert ended == "eof"
    return Tree(text, body, parser.defined)


class _Parser:
    def __init__(self, text: str, functions: Set[str], variables: tuple[str, ...]) -> None:
        self.text, self.functions = text, functions
        self.defined: dict[str, list[Node]] = {}
        self.variables = ["$", *variables]
        self._tokens = lex(text)
        self._place = 0
        self._ranges = 0
        self._depth = 0

    def error(self, reason: str) -> ParseError:
        return ParseError(reason, self.line())

    def line(self) -> int:
        return 1 + self.text.count("\n", 0, self._tokens[max(0, self._place - 1)].at)

    def next(self) -> Token:
        token = self._tokens[min(self._place, len(self._tokens) - 1)]
        self._place += 1
        return token

    def peek(self) -> Token:
        return self._tokens[min(self._place, len(self._tokens) - 1)]

    def solid(self) -> Token:
        """Return the next token that is no space."""
        while self.peek().kind == "space":
            self.next()
        return self.next()

    def peek_solid(self) -> Token:
        while self.peek().kind == "space":
            self.next()
        return self.peek()

    def unexpected(self, token: Token, where: str) -> ParseError:
        shown = {"eof": "EOF", "right": '"}}"', "keyword": f"<{token.text}>"}.get(token.kind, f'"{token.text}"')
        if token.kind == "eof":
            return self.error("unexpected EOF")
        return self.error(f"unexpected {shown} in {where}")

    def deeper(self) -> None:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise self.error(f"it nests more than {MAX_DEPTH} deep")

    def nodes(self, ends: tuple[str, ...]) -> tuple[list[Node], str]:
        """Return the nodes up to one of these words, and the word, which is consumed but for what else says."""
        self.deeper()
        found: list[Node] = []
        while True:
            token = self.next()
            if token.kind == "eof":
                if "eof" in ends:
                    self._depth -= 1
                    return found, "eof"
                raise self.error("unexpected EOF")
            if token.kind == "text":
                found.append(Plain(token.text, token.at))
                continue
            word = self.peek_solid()
            if word.kind == "keyword" and word.text in ("end", "else"):
                self.next()
                if word.text not in ends:
                    raise self.error(f"unexpected {{{{{word.text}}}}}")
                self._depth -= 1
                return found, word.text
            self.action(found)

    def action(self, found: list[Node]) -> None:
        word = self.peek_solid()
        if word.kind != "keyword" or word.text in _CONSTANTS:
            pipe = self.pipe("command", "right")
            found.append(Action(pipe, pipe.at))
            return
        self.next()
        match word.text:
            case "if" | "with" | "range":
                found.append(self.branch(word.text))
            case "break" | "continue":
                if not self._ranges:
                    raise self.error(f"{{{{{word.text}}}}} outside {{{{range}}}}")
                self.close(word.text)
                found.append(Leave(word.text, word.at))
            case "template":
                at = self.peek_solid().at
                name = self.name("template clause")
                if self.peek_solid().kind == "right":
                    self.next()
                    found.append(Include(name, None, at))
                else:
                    found.append(Include(name, self.pipe("template clause", "right"), at))
            case "define":
                self.define()
            case "block":
                name = self.name("block clause")
                pipe = self.pipe("block clause", "right")
                self.body_of(name)
                found.append(Include(name, pipe, word.at))

    def name(self, where: str) -> str:
        token = self.solid()
        if token.kind != "string":
            raise self.unexpected(token, where)
        return unquoted(token.text, self.line())

    def define(self) -> None:
        if self._depth > 1:
            raise self.error("unexpected {{define}}")
        name = self.name("define clause")
        self.close("define clause")
        self.body_of(name)

    def body_of(self, name: str) -> None:
        kept, self.variables = self.variables, ["$"]
        ranges, self._ranges = self._ranges, 0
        body, _ = self.nodes(("end",))
        self.close("define clause")
        self.variables, self._ranges = kept, ranges
        if name in self.defined:
            raise self.error(f'template: multiple definition of template "{name}"')
        self.defined[name] = body

    def close(self, where: str) -> None:
        token = self.solid()
        if token.kind != "right":
            raise self.unexpected(token, where)

    def branch(self, kind: str) -> Branch:
        mark = len(self.variables)
        pipe = self.pipe(kind, "right")
        self._ranges += kind == "range"
        body, ended = self.nodes(("end", "else"))
        self._ranges -= kind == "range"
        otherwise: list[Node] = []
        if ended == "else":
            follows = self.peek_solid()
            if follows.kind == "keyword" and follows.text == kind and kind in ("if", "with"):
                # {{else if}} is an {{if}} within the else, and takes the {{end}} of both.
                self.next()
                self.deeper()
                otherwise = [self.branch(kind)]
                self._depth -= 1
                del self.variables[mark:]
                return Branch(kind, pipe, body, otherwise, pipe.at)
            self.close("else")
            otherwise, ended = self.nodes(("end", "else"))
            if ended == "else":
                raise self.error("expected end; found {{else}}")
        self.close("end")
        del self.variables[mark:]
        return Branch(kind, pipe, body, otherwise, pipe.at)

    def pipe(self, where: str, end: str) -> Pipe:
        """Return the pipe up to the token `end`, which is consumed."""
        self.deeper()
        pipe = Pipe([], self.peek_solid().at)
        self.declarations(pipe, where)
        while True:
            token = self.solid()
            if token.kind == end:
                break
            if token.kind not in _OPERANDS:
                raise self.unexpected(token, where)
            self._place -= 1
            pipe.commands.append(self.command())
        if not pipe.commands:
            raise self.error(f"missing value for {where}")
        for place, command in enumerate(pipe.commands[1:], 2):
            if isinstance(command.args[0], Literal | Dot):
                raise self.error(f"non executable command in pipeline stage {place}")
        self._depth -= 1
        return pipe

    def declarations(self, pipe: Pipe, where: str) -> None:
        """Take `$x :=`, `$x =`, `$i, $x :=` if the pipe begins so."""
        start = self._place
        names: list[str] = []
        while True:
            token = self.peek_solid()
            if token.kind != "variable":
                break
            self.next()
            sign = self.peek_solid()
            if sign.kind in (":=", "="):
                self.next()
                pipe.names, pipe.assigns = (*names, token.text), sign.kind == "="
                for name in pipe.names if not pipe.assigns else ():
                    self.variables.append(name)
                return
            if sign.kind == "," and where == "range" and not names:
                self.next()
                names.append(token.text)
                continue
            if sign.kind == ",":
                raise self.error(f"too many declarations in {where}")
            break
        self._place = start

    def command(self) -> Command:
        command = Command([], self.peek_solid().at)
        while True:
            self.peek_solid()
            operand = self.operand()
            if operand is not None:
                command.args.append(operand)
            token = self.next()
            if token.kind == "space":
                continue
            if token.kind in ("right", ")"):
                self._place -= 1
            elif token.kind != "pipe":
                raise self.unexpected(token, "operand")
            break
        if not command.args:
            raise self.error("empty command")
        return command

    def operand(self) -> Operand | None:
        node = self.term()
        if node is None or self.peek().kind != "field":
            return node
        at, names = self.peek().at, []
        while self.peek().kind == "field":
            names.append(self.next().text[1:])
        if isinstance(node, Field | Variable):
            return type(node)((*node.names, *names), at)
        if isinstance(node, Literal | Dot):
            raise self.error(f"unexpected . after term {quoted(str(node))}")
        return Chain(node, tuple(names), at)

    def term(self) -> Operand | None:  # noqa: PLR0911 - one arm per kind
        token = self.solid()
        match token.kind:
            case "word":
                if token.text not in self.functions:
                    raise self.error(f'function "{token.text}" not defined')
                return Word(token.text, token.at)
            case "dot":
                return Dot(token.at)
            case "field":
                return Field((token.text[1:],), token.at)
            case "variable":
                if token.text not in self.variables:
                    raise self.error(f'undefined variable "{token.text}"')
                return Variable((token.text,), token.at)
            case "string":
                return Literal(unquoted(token.text, self.line()), token.text, token.at)
            case "char":
                value = unquoted(token.text, self.line())
                if len(value) != 1:
                    raise self.error(f"malformed character constant: {token.text}")
                return Literal(ord(value), token.text, token.at)
            case "number":
                return Literal(number(token.text, self.line()), token.text, token.at)
            case "keyword" if token.text in _CONSTANTS:
                return Literal(_CONSTANTS[token.text], token.text, token.at)
            case "(":
                return self.pipe("parenthesized pipeline", ")")
        self._place -= 1
        return None

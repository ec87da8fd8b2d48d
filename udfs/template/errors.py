"""What can go wrong with a template, in the words of Go's text/template."""


class ParseError(ValueError):
    """The text is no template; line is of the text, 1 the first."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.reason, self.line = reason, line

    def named(self, name: str) -> str:
        """Return the error as Go says it of a template of this name."""
        return f"template: {name}:{self.line}: {self.reason}"


class ExecError(Exception):
    """The template has no value for these data."""

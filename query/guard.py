"""From text to plan, within limits: what is refused before anything is looked up."""

from dataclasses import dataclass

from promql.parse import parse
from promql.plan import Expr, Select, walk
from query import params
from query.answers import Request
from query.errors import bad_data


@dataclass(frozen=True, slots=True)
class Guard:
    """max_text: bytes of a query or selector. max_regex: bytes of one regular expression.

    Nesting and the number of operators are bounded by promql.parse; a regex is RE2 in both engines, so that none can
    take more than linear time, and anchored.
    """

    max_text: int
    max_regex: int

    def plan(self, request: Request) -> Expr:
        """Return the plan of parameter query; raises PromqlError, QueryError."""
        return self._bounded(parse(self.checked(params.required(request.params, "query"))))

    def selector(self, text: str) -> Select:
        """Return the plan of one match[]."""
        plan = self._bounded(parse(self.checked(text)))
        if not isinstance(plan, Select) or plan.offset_ms or plan.at is not None:
            raise bad_data("TG-query-selector", f"{text[:200]!r} is not a series selector")
        return plan

    def checked(self, text: str) -> str:
        """Return the text if it is not too long."""
        try:
            size = len(text.encode())
        except UnicodeEncodeError:
            raise bad_data("TG-query-utf8", "the query is not valid UTF-8") from None
        if size > self.max_text:
            limit = f"{self.max_text} bytes (TIDEGAUGE_QUERY_MAX_TEXT)"
            raise bad_data("TG-query-text", f"the query has {size} bytes, more than the limit of {limit}")
        return text

    def _bounded(self, expr: Expr) -> Expr:
        for node in walk(expr):
            for name, op, value in node.matchers if isinstance(node, Select) else ():
                size = len(value.encode()) if op in ("=~", "!~") else 0
                if size > self.max_regex:
                    limit = f"{self.max_regex} bytes (TIDEGAUGE_QUERY_MAX_REGEX)"
                    message = f"the regular expression for label {name!r} has {size} bytes, more than {limit}"
                    raise bad_data("TG-query-regex-length", message)
        return expr

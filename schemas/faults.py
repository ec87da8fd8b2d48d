"""What is wrong with a file, in words of the file: pydantic's own speak of Python, and name no known field."""

from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

_WORDS = {
    "missing": "is missing",
    "int_type": "{value} is no whole number",
    "float_type": "{value} is no number",
    "finite_number": "{value} is not finite",
    "greater_than": "{value} is not more than {gt}",
    "greater_than_equal": "{value} is less than {ge}",
    "less_than_equal": "{value} is more than {le}",
    "literal_error": "{value} is none of {expected}",
    "bool_type": "{value} is neither true nor false",
    "bool_parsing": "{value} is neither true nor false",
    "string_type": "{value} is no text",
    "string_too_short": "is empty",
    "tuple_type": "{value} is no list",
    "dict_type": "{value} is no mapping",
    "model_type": "{value} is no mapping",
}


def lines(error: ValidationError, model: type[BaseModel], usual: str, place: str) -> list[str]:
    """Return every fault as `id: place: field: what is wrong`. usual: the id of those that bring none of their own."""
    found = []
    for one in error.errors():
        where = ".".join(str(part)[:80] for part in one["loc"] if part != "[key]")
        identity, said = usual, _said(one, model)
        if said.startswith("TG-"):
            identity, _, said = said.partition(": ")
        found.append(": ".join(filter(None, (identity, place, where, said))))
    return found


def _said(one: Any, model: type[BaseModel]) -> str:
    if one["type"] == "extra_forbidden":
        return f"unknown field; there are {', '.join(_fields(model, one['loc'][:-1]))}"
    words = _WORDS.get(one["type"])
    if words is None:
        return str(one["msg"]).removeprefix("Value error, ")
    return words.format(**{"value": repr(one["input"])[:80], **one.get("ctx", {})})


def _fields(model: type[BaseModel], path: Sequence[str | int]) -> list[str]:
    """Return the names, as a file has them, of the fields that the mapping at a path may have."""
    here: Any = model
    for part in path:
        if isinstance(here, type) and issubclass(here, BaseModel):
            here = next(one.annotation for name, one in here.model_fields.items() if part in (name, one.alias))
        else:  # an item of a list, or a value of a mapping
            here = next(one for one in reversed(get_args(here)) if one is not Ellipsis)
    return sorted(one.alias or name for name, one in here.model_fields.items())

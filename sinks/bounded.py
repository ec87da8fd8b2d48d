"""Numbers in the environment that no process takes."""

import math
from typing import Any

from pydantic import ValidationInfo, field_validator
from pydantic_settings import BaseSettings

# Thirty years: what counts nanoseconds takes three hundred.
MAX_SECONDS = 1_000_000_000
# Beyond it floats are no whole numbers any more, and Java's are at an end soon.
MAX_NUMBER = 1 << 53


class Bounded(BaseSettings):
    """Settings without numbers that pass here and end a process later; a field's own bounds may be closer."""

    @field_validator("*")
    @classmethod
    def _bounded(cls, value: Any, info: ValidationInfo) -> Any:
        if not isinstance(value, int | float):
            return value
        most = MAX_SECONDS if str(info.field_name).endswith("_s") else MAX_NUMBER
        if not math.isfinite(value) or abs(value) > most:
            raise ValueError(f"a number of at most {most} is wanted")
        return value

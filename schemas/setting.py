"""What is wrong with the environment, in one form for every command."""

from pydantic import ValidationError


def faults(error: ValidationError, prefix: str = "TIDEGAUGE_") -> list[str]:
    """Return a line for each setting that a class of settings, which has that prefix, does not take."""
    return [
        f"TG-settings: {prefix}{'_'.join(map(str, one['loc'])).upper()}={one['input']!r}: {one['msg']}"
        for one in error.errors()
    ]

"""What is wrong with the environment, in one form for every command."""

from pydantic import ValidationError


def faults(error: ValidationError) -> list[str]:
    """Return a line for each setting that a class of settings, prefix TIDEGAUGE_, does not take."""
    return [
        f"TG-settings: TIDEGAUGE_{'_'.join(map(str, one['loc'])).upper()}={one['input']!r}: {one['msg']}"
        for one in error.errors()
    ]

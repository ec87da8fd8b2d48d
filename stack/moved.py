"""A home that was moved or copied: what Flink and ZooKeeper remember of the jobs names files by their whole paths."""

import yaml

from stack.flink import STORAGE
from stack.home import Home
from stack.javatext import local


class MovedError(OSError):
    """The home lies elsewhere than where its stack ran last; the message says where that was and what to do."""


def check(home: Home) -> None:
    """Raise MovedError if the home lies elsewhere than before and has state; call it before the configuration is made.

    The JobManager would end at each start for a file that is not there, or, in a copy, share the original's files.
    """
    try:
        before = yaml.safe_load((home.path / "flink" / "conf" / "config.yaml").read_text())
        storage = local(before[STORAGE])
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError):
        return  # it has never run, or nothing can be known
    now = home.path / "flink" / "ha"
    if now.exists() and not (storage.exists() and storage.samefile(now)):
        old, new = storage.parent.parent, home.path
        raise MovedError(
            f"TG-home-moved {new} was {old} when its stack ran last, and what Flink remembers of the jobs names files "
            f"there: move it back, or, where nothing is there any more, `ln -s '{new}' '{old}'` and leave that"
        )

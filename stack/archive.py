"""Class data archives (JEP 350): what a JVM reads, checks and links of its classes at a start, kept for the next start.

A JVM that finds no archive of its role writes one as it ends, once in a checkout; that takes it some ten seconds. Java
takes an archive only with the class path and the Java that it was made with (stack/jars.py), and else does without.
"""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from stack.jars import folder

WRITING_S = 45.0
"""What a process may take to end while it writes an archive, on top of its own grace."""

WRITTEN = frozenset({0, 143, 239})
"""Exit codes behind which an archive is whole.

239: Flink halts a JVM that takes longer than 5 s to end, as one does that links what it will write. It then writes what
it has linked so far, and Java takes that.
"""


@dataclass(frozen=True, slots=True)
class Archive:
    """The archive of one role of JVM; writer: whose process writes it, since two would write the same."""

    role: str
    writer: str

    @property
    def path(self) -> Path:
        """Where it lies."""
        return folder() / f"{self.role}.jsa"

    @property
    def draft(self) -> Path:
        """Where the writer of this supervisor writes it."""
        return folder() / f"{self.role}.{os.getpid()}"

    def env(self, process: str = "") -> dict[str, str]:
        """Return the environment of a JVM that starts now; process: its name under this supervisor."""
        option = ""
        if self.path.exists():
            option = f"-XX:SharedArchiveFile={self.path}"
        elif self.writes(process):
            # Else it ends with a line for each class that it leaves out, thousands, behind what says why it ended.
            option = f"-Xlog:cds=error -XX:ArchiveClassesAtExit={self.draft}"
        return {"JVM_ARGS": f"{os.environ.get('JVM_ARGS', '')} {option}".strip()}

    def writes(self, process: str) -> bool:
        """Whether the process writes the archive as it ends.

        None does in a checkout whose path holds a space: Flink's scripts and PyFlink cut JVM_ARGS there.
        """
        return process == self.writer and not self.path.exists() and not re.search(r"\s", str(self.path))

    def ended(self, process: str, whole: bool) -> None:
        """Take over what the process wrote; not if it was killed or saw half a start: that would stay for good."""
        if process == self.writer and self.draft.exists():
            if whole:
                self.draft.replace(self.path)
            else:
                self.draft.unlink()


CLIENT = Archive("client", "jobs")
JOBMANAGER = Archive("jobmanager", "jobmanager")
TASKMANAGER = Archive("taskmanager", "taskmanager-1")
KAFKA = Archive("kafka", "kafka")
ALL = (CLIENT, JOBMANAGER, TASKMANAGER, KAFKA)

"""Flink's REST API, as it answers."""

from dataclasses import dataclass, field
from typing import Any

import pytest

from stack.rest import FlinkError, FlinkRest, Job
from stack.up import last_checkpoint

PENDING = {"status": {"id": "IN_PROGRESS"}}
TAKEN = {"status": {"id": "COMPLETED"}, "operation": {"checkpointId": 7}}
FAILED = {"status": {"id": "COMPLETED"}, "operation": {"failureCause": {"class": "CheckpointException"}}}
AWAY = FlinkError("TG-flink it does not answer")


@dataclass(frozen=True, slots=True)
class Jobs(FlinkRest):
    """A JobManager that answers what is given, the last of it for ever: first to who asks for a checkpoint."""

    address: str = ""
    answers: dict[str, list[Any]] = field(default_factory=dict)

    def call(self, path: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
        if path == "/jobs/overview":
            tasks = {"running": 1, "total": 1}
            return {
                "jobs": [
                    {"jid": name, "name": f"tidegauge-{name}", "state": "RUNNING", "tasks": tasks}
                    for name in self.answers
                ]
            }
        answers = self.answers[path.split("/")[2]]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, FlinkError):
            raise answer
        return answer


@pytest.mark.parametrize(
    ("answers", "taken"),
    [
        ([{"request-id": "r"}, PENDING, TAKEN], True),
        ([{"request-id": "r"}, AWAY, TAKEN], True),
        ([{"request-id": "r"}, FAILED], False),
        ([{"request-id": "r"}, PENDING], False),
        ([AWAY], False),
    ],
    ids=["taken", "asked again", "failed", "not in time", "not asked"],
)
def test_a_checkpoint_of_each_job(answers: list[Any], taken: bool, capsys: pytest.CaptureFixture[str]) -> None:
    flink = Jobs(answers={"gate": list(answers), "store": [{"request-id": "r"}, TAKEN]})
    jobs = [Job(name, name, "RUNNING", True) for name in flink.answers]
    assert flink.take_checkpoints(jobs, 0.5) == {"store", *(["gate"] if taken else [])}
    last_checkpoint(Jobs(answers={"gate": list(answers)}), 0.5)
    said = "no checkpoint within 0 s, the one before stands: gate\n"
    assert capsys.readouterr().out == ("" if taken else said)


def test_no_job_no_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    last_checkpoint(Jobs(answers={}), 0.5)
    assert capsys.readouterr().out == ""

"""What the integration tests share: a way in, a way out, and a clock that ticks."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from stack.policy import main as policy
from tests.integration.pipeline import Pipeline


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What waits for windows of five minutes comes last: by then they have ended."""
    items.sort(key=lambda item: item.path.name == "test_replay.py")


@pytest.fixture(scope="session")
def pipeline(stack: Any) -> Iterator[Pipeline]:
    """Return the running pipeline; a source of its own moves event time on, as in any system that lives."""
    pipeline = Pipeline(stack)
    done = threading.Event()

    def tick() -> None:
        while not done.wait(1.0):
            pipeline.send("clock", {("up", ()): 1.0}, time.time_ns() // 1_000_000)

    clock = threading.Thread(target=tick)
    clock.start()
    yield pipeline
    done.set()
    clock.join()
    pipeline.close()


@pytest.fixture(autouse=True, scope="module")
def ledger(pipeline: Pipeline) -> Iterator[None]:
    """After each module: what became of every sample that was received is known, whatever was killed meanwhile."""
    yield
    pipeline.check_ledger()


@pytest.fixture(scope="session")
def apply(pipeline: Pipeline, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], None]:
    """Return what brings the policies of a YAML text into force; done when the gate has had time to hear of them."""
    file = tmp_path_factory.mktemp("policies") / "policy.yaml"

    def bring(text: str) -> None:
        file.write_text(text)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TIDEGAUGE_KAFKA", pipeline.stack.endpoints["kafka"])
            assert policy(["apply", str(file)]) == 0
        time.sleep(5.0)

    return bring

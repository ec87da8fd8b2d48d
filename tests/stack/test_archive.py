"""Class data archives, by real JVMs and by processes that write as one would."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from signal import SIGKILL, SIGTERM

import pytest

from stack import jars
from stack.archive import Archive
from stack.child import Child
from stack.home import JARS, Home
from stack.process import Process
from tests.stack.supervised import running, until

WRITES = """
trap "exit 143" TERM
draft=${JVM_ARGS##*=}
[ -z "$draft" ] || touch "$draft"
echo written
while :; do sleep 0.02; done
"""
JAVA = f"exec java $JVM_ARGS $SHARE -cp '{JARS}/kafka/*' kafka.tools.StorageTool random-uuid"


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Archive]:
    """Return an archive of this test alone."""
    monkeypatch.setattr(jars, "JARS", tmp_path)
    jars.folder.cache_clear()
    jars.folder().mkdir()
    yield Archive("one", "writer")
    jars.folder.cache_clear()


def begin(archive: Archive, tmp_path: Path, script: str, name: str = "writer", **env: str) -> Child:
    """Start a process of a stack that is whole."""
    process = Process(name, ("bash", "-c", script), {**os.environ, **env}, tmp_path, lambda: True, classes=archive)
    child = Child(process, tmp_path / f"{name}.log", whole=True)
    child.start("", time.monotonic())
    return child


def end(child: Child) -> str:
    """Follow the process to its end and return what it said."""

    def ended() -> bool:
        child.tick(time.monotonic())
        return child.popen is None

    until(ended, 60)
    return child.log.read_text()


@pytest.mark.parametrize(
    ("signal", "whole", "taken"), [(SIGTERM, True, True), (SIGTERM, False, False), (SIGKILL, True, False)]
)
def test_half_a_start_and_half_an_archive_are_dropped(
    archive: Archive, tmp_path: Path, signal: int, whole: bool, taken: bool
) -> None:
    # One that is killed has not ended when it was asked to.
    script = WRITES if signal == SIGTERM else WRITES.replace('"exit 143"', '""')
    child = begin(archive, tmp_path, script)
    child.whole = whole
    until(child.log.read_text)
    child.stop(time.monotonic())
    child.signal(signal)
    end(child)
    assert archive.path.exists() == taken
    assert not archive.draft.exists()


@pytest.mark.parametrize(("code", "taken"), [(0, True), (143, True), (239, True), (1, False), (134, False)])
def test_how_it_ended_tells_whether_the_archive_is_whole(
    archive: Archive, tmp_path: Path, code: int, taken: bool
) -> None:
    child = begin(archive, tmp_path, WRITES.replace("exit 143", f"exit {code}"))
    until(child.log.read_text)
    child.stop(time.monotonic())
    end(child)
    assert archive.path.exists() == taken


@pytest.mark.parametrize(("off", "taken"), [((), True), (("step",), False), (("other",), True)])
def test_only_a_stack_with_all_its_steps_writes(
    archive: Archive, tmp_path: Path, off: tuple[str, ...], taken: bool
) -> None:
    def process(name: str, script: str) -> Process:
        return Process(name, ("bash", "-c", script), os.environ, tmp_path, lambda: True)

    step = replace(process("step", ""), once=True)
    plan = [replace(process("writer", WRITES), classes=archive), step, process("other", WRITES)]
    with running(Home(tmp_path), *plan, off=off) as supervisor:
        until(lambda: supervisor.state.phase == "running")
        until(supervisor.children["writer"].log.read_text)
    assert archive.path.exists() == taken


def test_one_process_writes_and_its_twin_waits_for_the_archive(archive: Archive) -> None:
    assert archive.env("twin")["JVM_ARGS"] == os.environ.get("JVM_ARGS", "")
    assert archive.env("writer")["JVM_ARGS"].endswith(f"-XX:ArchiveClassesAtExit={archive.draft}")
    archive.path.touch()
    for name in ("twin", "writer", ""):
        assert archive.env(name)["JVM_ARGS"].endswith(f"-XX:SharedArchiveFile={archive.path}")


def test_what_the_caller_asks_of_its_jvms_stays(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JVM_ARGS", "-Xss2m")
    assert archive.env("twin")["JVM_ARGS"] == "-Xss2m"
    assert archive.env("writer")["JVM_ARGS"].startswith("-Xss2m -X")


def test_a_path_that_jvm_args_cannot_say_has_no_archive(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jars, "JARS", tmp_path / "my checkout")
    jars.folder.cache_clear()
    assert not archive.writes("writer")
    assert archive.env("writer") == archive.env("twin")


@pytest.mark.jvm
def test_java_takes_the_archive_that_it_wrote_and_no_other(archive: Archive, tmp_path: Path) -> None:
    said = end(begin(archive, tmp_path, JAVA))
    assert archive.path.exists()
    assert "[cds]" not in said  # thousands of lines on what it leaves out, behind those that say why it ended
    loaded = end(begin(archive, tmp_path, JAVA, name="second", SHARE="-Xlog:class+load"))
    assert "kafka.tools.StorageTool$ source: shared objects file (top)" in loaded
    other = end(begin(archive, tmp_path, JAVA.replace("/kafka/*", "/flink/*"), name="other", SHARE="-Xshare:on"))
    assert "shared class paths mismatch" in other


def test_every_home_has_flinks_jars_on_one_path(archive: Archive) -> None:
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(jars.lib())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [jars.folder() / "lib"] * 8
    assert {link.resolve() for link in found[0].iterdir()} == {one.resolve() for one in jars.flink_jars()}
    assert [one.name for one in jars.folder().iterdir()] == ["lib"]


def test_another_jar_is_another_folder(archive: Archive, tmp_path: Path) -> None:
    before = jars.folder()
    (tmp_path / "flink").mkdir()
    (tmp_path / "flink" / "new.jar").touch()
    jars.folder.cache_clear()
    assert jars.folder() != before

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from stack import doctor, plan, ports, state
from stack.home import JARS, ROOT, Home


@pytest.mark.parametrize(
    ("output", "good", "found"),
    [
        ('openjdk version "17.0.15" 2025-04-15', True, "17.0.15"),
        ('openjdk version "21" 2023-09-19', False, "21"),
        ('java version "1.8.0_371"', False, "1.8.0_371"),
        ("", False, "nothing"),
    ],
)
def test_java(output: str, good: bool, found: str) -> None:
    finding = doctor.java(lambda: output)
    assert (finding.good, finding.found) == (good, found)
    assert bool(finding.remedy) != good


def test_java_missing() -> None:
    def missing() -> str:
        raise FileNotFoundError("java")

    finding = doctor.java(missing)
    assert not finding.good
    assert "openjdk-17" in finding.remedy


@pytest.mark.parametrize(
    ("home", "found", "first"),
    [
        ("home", "17.0.15", "home/bin"),
        ("gone", "no {0}/gone/bin/java", "gone/bin"),
        ("", "11.0.2", "path"),
    ],
)
def test_the_java_that_flink_takes_is_judged_and_taken_by_all(
    home: str, found: str, first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder, version in (("home/bin", "17.0.15"), ("path", "11.0.2")):
        command = tmp_path / folder / "java"
        command.parent.mkdir(parents=True)
        command.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
        command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    if home:
        monkeypatch.setenv("JAVA_HOME", str(tmp_path / home))
    assert doctor.java(doctor.java_version).found == found.format(tmp_path)
    path = plan.environment(Home(tmp_path), ports.DEFAULTS)["PATH"].split(os.pathsep)
    assert path[1] == str(tmp_path / first)


def test_versions_name_what_differs() -> None:
    def installed(name: str) -> str:
        if name == "gone":
            raise PackageNotFoundError(name)
        return "1.0"

    assert doctor.versions({"same": "1.0"}, installed).good
    finding = doctor.versions({"same": "1.0", "old": "2.0", "gone": "3.0"}, installed)
    assert finding.found == "old 1.0 (locked: 2.0); gone missing (locked: 3.0)"
    assert finding.remedy == "make setup"


def test_the_lock_file_is_read_whole() -> None:
    text = (ROOT / "requirements.lock").read_text()
    found = doctor.locked(text)
    assert found["apache-flink"] == "2.3.0"
    assert len(found) == sum("==" in line for line in text.splitlines() if not line.startswith((" ", "#")))


@pytest.mark.parametrize(
    ("finding", "good"),
    [
        (doctor.python((3, 11)), True),
        (doctor.python((3, 12)), False),
        (doctor.disk(10 << 30), True),
        (doctor.disk(1 << 30), False),
        (doctor.writable(ROOT), True),
        # Nobody may, not even root.
        (doctor.writable(Path("/proc/self")), False),
        (doctor.file_size(None), True),
        (doctor.file_size(1 << 40), False),
        (doctor.memory(8 << 30), True),
        (doctor.memory(4 << 30), False),
        (doctor.clock(doctor.BUILT_MS + 1, 0), True),
        (doctor.clock(0, 0), False),
        (doctor.clock(doctor.BUILT_MS + 1, doctor.BUILT_MS + 3_600_000), False),
        (doctor.listening({"kafka": 1}, lambda port: True), True),
        (doctor.listening({"kafka": 1}, lambda port: False), False),
    ],
)
def test_each_finding_has_a_remedy_unless_good(finding: doctor.Finding, good: bool) -> None:
    assert finding.good is good
    assert bool(finding.remedy) is not good


def test_jars(tmp_path: Path) -> None:
    assert [one.good for one in doctor.jars(tmp_path)] == [False, False, False]
    assert [one.good for one in doctor.jars(JARS)] == [True, True, True]


def test_text_shows_the_remedy_below_what_is_missing() -> None:
    shown = doctor.text([doctor.Finding("disk", False, "0.1 GiB free", "free some")])
    assert shown.splitlines() == ["MISSING  disk                    0.1 GiB free", "         free some"]


@pytest.mark.parametrize("text", ["kafa=9000", "99999", "kafka=9000,kafka=9001", "kafka=9000,redis=9000"])
@pytest.mark.parametrize("runs", [True, False])
def test_ports_that_cannot_be_are_refused_whether_a_stack_runs_or_not(text: str, runs: bool, tmp_path: Path) -> None:
    home = Home(tmp_path)
    if runs:
        own = state.Running("up", os.getpid(), state.started_at(os.getpid()))
        state.save(home, state.State(own, "running", dict(ports.DEFAULTS)))
        assert doctor.examine(home, None)[-1].good
    with pytest.raises(ports.PortError, match=r"^TG-port "):
        doctor.examine(home, text)


def test_a_home_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """`up` would end at its first file, and nothing else that is looked at would say so."""
    found = {one.what: one for one in doctor.examine(Home(Path("/proc/self/tidegauge")), None)}
    assert (found["home"].good, found["home"].found) == (False, "/proc/self cannot be written by this user")
    assert {one.what: one for one in doctor.examine(Home(tmp_path / "new"), None)}["home"].good


@contextmanager
def as_nobody() -> Iterator[None]:
    """Be a user whom a folder of mode 000 keeps out: root it does not."""
    if os.getuid():
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@pytest.mark.parametrize("closed", [".", "home", "home/state.json"])
def test_a_home_that_may_not_be_entered_keeps_no_other_finding_back(closed: str) -> None:
    """It ended with TG-os, of another user's, before any of them."""
    with TemporaryDirectory() as name:  # pytest's own is closed to nobody
        Path(name).chmod(0o755)
        home = Home(Path(name) / "home")
        home.folder()
        state.save(home, state.State(phase="stopped"))
        before = doctor.examine(home, "auto")
        shut = Path(name) / closed
        shut.chmod(0)
        try:
            with as_nobody():
                if not os.access(ROOT / "requirements.lock", os.R_OK):
                    pytest.skip("the checkout lies where only root may look")
                found = doctor.examine(home, "auto")
        finally:
            shut.chmod(0o755)
    assert [one.what for one in found] == [one.what for one in before]
    seen = Path(name) if closed == "." else home.path
    (one,) = (one for one in found if one.what == "home")
    assert (one.good, one.found) == (False, f"{seen} cannot be read by this user")

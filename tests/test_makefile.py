"""What `make setup` does where something is missing, half made, or of another version."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
BACKEND = """
from zipfile import ZipFile
TEXTS = {"METADATA": "Metadata-Version: 2.1\\nName: nothing\\nVersion: 1\\n",
         "WHEEL": "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n", "RECORD": ""}
def build_editable(folder, *rest):
    with ZipFile(f"{folder}/nothing-1-py3-none-any.whl", "w") as wheel:
        for name, text in TEXTS.items():
            wheel.writestr(f"nothing-1.dist-info/{name}", text)
    return "nothing-1-py3-none-any.whl"
"""
"""Makes a package of nothing: what a new environment has of setuptools cannot make one."""


def make(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    clean = {name: value for name, value in os.environ.items() if name not in ("JAVA_HOME", "MAKEFLAGS")}
    return subprocess.run(
        ["make", "--no-print-directory", "-f", str(ROOT / "Makefile"), *arguments],
        cwd=folder,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def java(folder: Path, version: str) -> str:
    """Make a `java` that only tells its version; return what JAVA_HOME would be."""
    command = folder / "bin" / "java"
    command.parent.mkdir(parents=True)
    command.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    command.chmod(0o755)
    return str(folder)


def test_an_environment_that_was_left_half_made_is_made_anew(tmp_path: Path) -> None:
    python = str(Path(sys.executable).resolve())
    subprocess.run([python, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    (tmp_path / "requirements.lock").touch()
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "backend.py").write_text(BACKEND)
    done = make(tmp_path, ".venv/.stamp", f"PYTHON={python}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [line for line in done.stdout.splitlines() if line] == [
        "setup: making .venv",
        "setup: installing the packages of requirements.lock",
        "setup: installing tidegauge",
    ]
    assert make(tmp_path, ".venv/.stamp", f"PYTHON={python}").stdout == ""


@pytest.mark.parametrize(
    ("home", "path", "fault"),
    [
        ("17.0.15", "11.0.2", ""),
        ("11.0.2", "17.0.15", 'home/bin/java is openjdk version "11.0.2", 17 is needed'),
        ("", "17.0.15", ""),
        ("", "11.0.2", 'java is openjdk version "11.0.2", 17 is needed'),
        ("gone", "17.0.15", "missing: {0}/gone/bin/java, Java 17"),
    ],
)
def test_the_java_that_flink_takes_is_judged(tmp_path: Path, home: str, path: str, fault: str) -> None:
    found = f"{java(tmp_path / 'path', path)}/bin{os.pathsep}{os.environ['PATH']}"
    homes = {"": {}, "gone": {"JAVA_HOME": str(tmp_path / "gone")}}
    done = make(
        tmp_path,
        "need-java",
        PATH=found,
        **(homes[home] if home in homes else {"JAVA_HOME": java(tmp_path / "home", home)}),
    )
    assert (done.returncode == 0) is (not fault)
    assert fault.format(tmp_path) in done.stderr

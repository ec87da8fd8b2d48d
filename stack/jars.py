"""Which jars the JVMs load, and one folder for them that every home shares."""

import contextlib
import hashlib
import os
import shutil
import tempfile
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from stack.home import JARS


def pyflink_home() -> Path:
    """Return the folder of the wheel that carries Flink's bin/, lib/ and opt/. Does not import pyflink."""
    spec = find_spec("pyflink")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("TG-missing pyflink is not installed; run `make setup`")
    return Path(spec.origin).parent


def flink_jars() -> list[Path]:
    """Return what must be on the class path of the cluster and of its clients.

    flink-python too: shipped with each job, the second job of a TaskManager dies on Java 17 with NoSuchFieldException:
    loadedLibraryNames.
    """
    wheel = pyflink_home()
    return sorted([*wheel.glob("lib/*.jar"), *wheel.glob("opt/flink-python-*.jar"), *JARS.glob("flink/*.jar")])


def java_command() -> str:
    """Return the Java that everything runs on: that of JAVA_HOME, which Flink's scripts take first, else PATH's."""
    home = os.environ.get("JAVA_HOME")
    return (f"{home}/bin/java" if home else shutil.which("java")) or "java"


@cache
def folder() -> Path:
    """Return the folder for what fits these jars and this Java, and no others."""
    real = os.path.realpath(java_command())
    digest = hashlib.sha256(real.encode())
    for file in [Path(real), *flink_jars(), *sorted(JARS.glob("kafka/*.jar"))]:
        with contextlib.suppress(FileNotFoundError):  # of Java: `tidegauge doctor` says so
            digest.update(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}\n".encode())
    return JARS / f"classes-{digest.hexdigest()[:12]}"


def lib() -> Path:
    """Return the folder of Flink's jars, as links; made if it is missing, also by two at once."""
    links = folder() / "lib"
    if links.exists():
        return links
    folder().mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=folder()))
    for jar in flink_jars():
        (made / jar.name).symlink_to(jar)
    made.chmod(0o755)
    try:
        made.rename(links)
    except OSError:
        shutil.rmtree(made)
        if not links.exists():
            raise
    return links

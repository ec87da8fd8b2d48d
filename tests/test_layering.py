"""Who may import whom: the rule of docs/architecture.md as a test."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("agent", "bench", "jobs", "load", "promql", "query", "schemas", "sinks", "stack", "udfs")

MAY_IMPORT = {
    "schemas": set(),
    "promql": set(),
    "sinks": {"schemas"},
    "udfs": {"schemas", "promql"},
    "jobs": {"udfs", "sinks", "schemas"},
    "query": {"schemas", "promql", "sinks", "udfs.rollup.digest"},
    "agent": {"schemas", "sinks"},
    "load": {"schemas", "sinks", "udfs.alert", "udfs.duration", "udfs.reroll", "udfs.rollup"},
    "stack": set(OURS),
    "bench": set(OURS),
}
# The pure packages, and all that they may know of the world outside.
PURE = {
    "promql": {"numpy", "promql_parser", "re2"},
    "udfs": {"numpy", "cachetools", "yaml", "xxhash", "orjson", "pyarrow", "datasketches"},
    "schemas": {"numpy", "fastavro", "xxhash", "pydantic", "yaml"},
}
CLOCKS = {("time", "time"), ("time", "time_ns"), ("time", "monotonic"), ("datetime", "now"), ("datetime", "utcnow")}


def is_shell(path: Path) -> bool:
    """Tell whether a module of udfs is the thin shell that may know Flink and the sinks."""
    return path.name == "flink.py" or path.parent.name == "flink"


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


MODULES = sorted(path for package in OURS for path in (ROOT / package).rglob("*.py"))
IDS = [path.relative_to(ROOT).as_posix() for path in MODULES]


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_imports_follow_the_flow(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    allowed = MAY_IMPORT[package] | {package}
    if package == "udfs" and is_shell(path):
        allowed = allowed | {"sinks"}
    for name in imports(path):
        if name.split(".")[0] in OURS:
            assert any(name == one or name.startswith(f"{one}.") for one in allowed), f"{name} is not for {package}"


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_flink_is_known_in_jobs_and_shells_only(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    if package != "jobs" and not (package == "udfs" and is_shell(path)):
        assert not {name for name in imports(path) if name.split(".")[0] == "pyflink"}


PURE_MODULES = [p for p in MODULES if p.relative_to(ROOT).parts[0] in PURE and not is_shell(p)]


@pytest.mark.parametrize("path", PURE_MODULES, ids=[p.relative_to(ROOT).as_posix() for p in PURE_MODULES])
def test_the_core_is_pure(path: Path) -> None:
    import sys

    package = path.relative_to(ROOT).parts[0]
    outside = {name.split(".")[0] for name in imports(path)} - set(OURS) - sys.stdlib_module_names
    assert outside <= PURE[package]
    reads = {
        (node.value.id, node.attr)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    assert not reads & CLOCKS, "time is an argument"


@pytest.mark.parametrize("path", MODULES, ids=IDS)
def test_no_module_is_a_drawer(path: Path) -> None:
    assert path.stem not in {"utils", "helpers", "common", "base", "misc"}

"""Other systems on the same data, where their programs are found on PATH or in the folder $PEERS."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas.columns import Int64s
from schemas.nan import Floats


def find(program: str) -> str | None:
    """Return the path of a program in $PEERS or on PATH."""
    path = os.pathsep.join(filter(None, [os.environ.get("PEERS"), os.environ.get("PATH")]))
    return shutil.which(program, path=path)


def prometheus(
    series: Sequence[tuple[str, dict[str, str]]], stamps: Int64s, values: Floats, folder: Path
) -> dict[str, Any]:
    """Return bytes a sample of Prometheus's blocks, written by promtool from OpenMetrics text; values: (T, S)."""
    promtool = find("promtool")
    if promtool is None:
        return {"skipped": "promtool is neither on PATH nor in $PEERS"}
    text, blocks = folder / "openmetrics.txt", folder / "blocks"
    with text.open("w") as out:
        for name in sorted({name for name, _ in series}):
            out.write(f"# TYPE {name} unknown\n")
            for place, (own, labels) in enumerate(series):
                if own == name:
                    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
                    rows = zip(values[:, place].tolist(), stamps.tolist(), strict=True)
                    out.writelines(f"{name}{{{inside}}} {value!r} {at / 1000:.3f}\n" for value, at in rows)
        out.write("# EOF\n")
    version = subprocess.run([promtool, "--version"], capture_output=True, text=True, check=True).stdout.split()[2]
    # Its blocks are two hours each: the index of every one counts, as it does in a server before it merges them.
    command = [
        promtool,
        "tsdb",
        "create-blocks-from",
        "--max-block-duration=24h",
        "openmetrics",
        str(text),
        str(blocks),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    text.unlink()
    if done.returncode:
        return {"skipped": f"promtool {version} failed: {done.stderr.strip()[-200:]}"}
    size = sum(path.stat().st_size for path in blocks.rglob("*") if path.is_file())
    shutil.rmtree(blocks)
    return {"version": version, "bytes_per_row": round(size / values.size, 3)}


def said(figures: dict[str, Any]) -> str:
    """Return a peer's figures for people."""
    if "skipped" in figures:
        return f"Prometheus skipped: {figures['skipped']}"
    return f"Prometheus {figures['version']:<11} {figures['bytes_per_row']:.3f} bytes a sample"

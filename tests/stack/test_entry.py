"""What a JobManager in a container does before it starts."""

import subprocess
import sys
from pathlib import Path

from stack.home import ROOT, Home


def test_broken_job_results_are_deleted_and_the_command_is_run(tmp_path: Path) -> None:
    folder = Home(tmp_path).folder("flink", "ha", "job-result-store", "tidegauge")
    whole, broken = folder / "aa_DIRTY.json", folder / "bb_DIRTY.json"
    whole.write_text('{"result": {"id": "aa", "application-id": "cc"}, "version": 1}')
    broken.write_text('{"result": {"id": "bb", "application-id": null}, "version": 1}')
    done = subprocess.run(
        [sys.executable, "-m", "stack.entry", "sh", "-c", 'echo "$0 $1"; exit 3', "jobmanager", "-D"],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "TIDEGAUGE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert list(folder.iterdir()) == [whole]
    told, said = done.stdout.splitlines()
    assert told.startswith("TG-job-result the result of job bb was broken")
    assert (said, done.returncode) == ("jobmanager -D", 3)

"""`tidegauge policy` and `tidegauge cardinality` on the real stack, as one reads them in a terminal."""

import os
import shlex
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.integration.gated import account, batch
from tests.integration.pipeline import Pipeline, eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
WRONG = "policies: [{tenant: TENANT, metrics: [{name: hits, max_series: 0}]}]"
TRIAL = "policies: [{tenant: TENANT, dry_run: true, metrics: [{name: hits, max_series: 10}]}]"
HELD = (
    '{"action":"reject","clock":"keep","dry_run":true,"future_grace_s":"setting","max_labels":"setting",'
    '"max_series":"setting","metrics":[{"max_series":10,"name":"hits"}],"priority":"normal","tenant":"TENANT",'
    '"tolerance_s":"setting","utf8":false,"window":"1h"}'
)

BEFORE = """
$ tidegauge policy check wrong.yaml trial.yaml
trial.yaml: 1 policies, no faults
TG-policy-field: wrong.yaml: policies[0]: metrics.0.max_series: 0 is less than 1
(exit code 1)
$ tidegauge policy apply wrong.yaml
TG-policy-field: wrong.yaml: policies[0]: metrics.0.max_series: 0 is less than 1
wrong.yaml: nothing was applied
(exit code 1)
$ tidegauge policy apply trial.yaml
trial.yaml: 1 policies written, 0 unchanged
$ tidegauge policy apply trial.yaml
trial.yaml: 0 policies written, 1 unchanged
$ tidegauge policy list
TENANT  dry run  HELD
$ tidegauge policy would --tenant TENANT
no policy on trial would have cost a sample within 24 h
$ tidegauge cardinality --tenant TENANT
no metric made 100 new series in an hour within 24 h
""".replace("HELD", HELD)

AFTER = """
$ tidegauge policy would --tenant TENANT
TENANT  TG-series-limit: 280 of 300 samples
$ tidegauge policy remove TENANT nobody
TENANT: removed
TG-policy-tenant: 'nobody' has no policy
(exit code 1)
$ tidegauge policy list
"""


def tidegauge(pipeline: Pipeline, folder: Path, command: str) -> str:
    """Return what a command prints, as lines; what fails says so."""
    env = {"TIDEGAUGE_HOME": str(pipeline.stack.home)}
    done = subprocess.run(
        [sys.executable, "-m", "stack.cli", *shlex.split(command)],
        capture_output=True,
        text=True,
        env={**os.environ, **env, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        timeout=60,
        check=False,
    )
    return done.stdout + done.stderr + (f"(exit code {done.returncode})\n" if done.returncode else "")


def play(pipeline: Pipeline, folder: Path, scenario: str, tenant: str) -> str:
    """Return the scenario as it really goes; of lists only what is of the tenant."""
    said = ""
    for line in scenario.splitlines():
        if line.startswith("$ tidegauge "):
            command = line.removeprefix("$ tidegauge ")
            answer = tidegauge(pipeline, folder, command.replace("TENANT", tenant))
            if command == "policy list":
                answer = "".join(one for one in answer.splitlines(keepends=True) if one.startswith(tenant))
            said += f"{line}\n{answer.replace(tenant, 'TENANT')}"
    return said


def test_a_policy_on_trial_and_the_culprit(pipeline: Pipeline, tmp_path: Path) -> None:
    tenant = f"trial-{uuid.uuid4().hex[:8]}"
    for name, text in (("wrong", WRONG), ("trial", TRIAL)):
        (tmp_path / f"{name}.yaml").write_text(text.replace("TENANT", tenant))
    assert play(pipeline, tmp_path, BEFORE, tenant) == BEFORE.lstrip()
    known = [f"u{number}" for number in range(10)]
    # Until the policy is in force, and once in which it is.
    pipeline.send_record(batch(tenant, known))
    eventually(lambda: account(pipeline, tenant)["received"], 10)
    for step in range(10):
        pipeline.send_record(batch(tenant, [f"u{number}" for number in range(10 + step * 28, 38 + step * 28)]))
    pipeline.send_record(batch(tenant, known))
    eventually(lambda: account(pipeline, tenant)["received"], 300)
    held = account(pipeline, tenant)
    assert (held["forwarded"], held["rejected"], held["missing"]) == (300, {}, 0)
    assert play(pipeline, tmp_path, AFTER, tenant) == AFTER.lstrip()
    command = f"cardinality --tenant {tenant} --policy"
    eventually(lambda: f"{tenant}  hits: " in tidegauge(pipeline, tmp_path, command), wanted=True)
    shown = tidegauge(pipeline, tmp_path, command)
    assert " values of user (u0, u1, u2 …); mostly from s; first seen 20" in shown
    # What it prints is a policy file.
    (tmp_path / "pasted.yaml").write_text(shown)
    assert tidegauge(pipeline, tmp_path, "policy check pasted.yaml") == "pasted.yaml: 1 policies, no faults\n"
    assert tidegauge(pipeline, tmp_path, "policy apply pasted.yaml") == "pasted.yaml: 1 policies written, 0 unchanged\n"

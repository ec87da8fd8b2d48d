"""`tidegauge retention` as a person runs it, on the real engine."""

from contextlib import closing
from pathlib import Path

import pytest

from sinks import ddl
from sinks.retention import RetentionSettings
from stack import cli
from stack.retention import show
from tests import embedded


@pytest.fixture(autouse=True)
def target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE", embedded.endpoint())
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE_DATABASE", "retention_command")
    ddl.apply(embedded.endpoint(), "default", "", "retention_command")


def test_check_apply_and_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "retention.yaml"
    file.write_text("classes:\n  standard: {}\n  long: {raw: 7}\ntenants: {acme: long}\n")
    assert cli.main(["retention", "check", str(file)]) == 0
    assert "long            7      14      30      90     730  acme" in capsys.readouterr().out
    assert cli.main(["retention", "list"]) == 0
    assert "standard  forever forever forever forever forever  all others\n" in capsys.readouterr().out
    monkeypatch.setenv("TIDEGAUGE_RETENTION", str(file))
    assert cli.main(["retention", "apply"]) == 0
    assert "samples: for ever -> " in capsys.readouterr().out
    assert cli.main(["retention", "apply"]) == 0
    assert capsys.readouterr().out == "retention_command: up to date\n"
    assert cli.main(["retention", "list"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "class         raw      1m      5m      1h      1d  tenants",
        "standard        2      14      30      90     730  all others",
        "long            7      14      30      90     730  acme",
        "rejections 7, ledger 7, cardinality 30, alert_events 90 (days, all tenants)",
    ]


CHANGED = """
classes:
  standard: {raw: 3, 1d: forever}
  long: {raw: 9, 1m: 20}
  none: {raw: 3}
tenants: {acme: long, ci-*: long, ci-9: standard}
rejections: forever
"""


def test_the_list_is_of_what_is_in_force(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "retention.yaml"
    file.write_text(CHANGED)
    settings, database = RetentionSettings(retention=file), RetentionSettings().clickhouse_database
    assert cli.main(["retention", "apply", str(file)]) == 0
    capsys.readouterr()
    with closing(settings.connect()) as clickhouse:
        show(clickhouse, settings.policy())
        first = capsys.readouterr().out.splitlines()
        file.write_text("classes: {standard: {}, long: {raw: 8}}\ntenants: {acme: long, zeta: long}")
        show(clickhouse, settings.policy())
        then = capsys.readouterr().out.splitlines()
        clickhouse.command(f"ALTER TABLE {database}.rollup_1h MODIFY TTL toDateTime(last_ts) + toIntervalDay(5)")
        show(clickhouse, settings.policy())
        last = capsys.readouterr().out.splitlines()
    assert first == [
        "class         raw      1m      5m      1h      1d  tenants",
        "standard        3      14      30      90 forever  ci-9, all others",
        "long            9      20      30      90     730  acme, ci-*",
        "rejections forever, ledger 7, cardinality 30, alert_events 90 (days, all tenants)",
    ]
    assert then[1:4] == [
        "standard        3      14      30      90 forever  all others",
        "long            9      20      30      90     730  acme",
        "long            3      14      30      90 forever  zeta",
    ]
    assert then[-1].startswith("not as the policy says: samples, ")
    assert last[0] == "rollup_1h: toDateTime(last_ts) + toIntervalDay(5)"
    assert last[2] == "standard        3      14      30       ? forever  all others"


def test_check_tells_every_fault_with_the_fields_that_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("classes: {standard: {raw: 0, 2m: 3, 1h: yes}, long: {1m: 40}}\nrejection: 5\nledger: x\n")
    assert cli.main(["retention", "check", str(file)]) == 1
    assert capsys.readouterr().err.splitlines() == [
        f"TG-retention-value: {file}: classes.standard.raw: 0 is less than 1 (TIDEGAUGE_RETENTION)",
        f"TG-retention-value: {file}: classes.standard.1h: True is no whole number of days, nor forever "
        "(TIDEGAUGE_RETENTION)",
        f"TG-retention-value: {file}: classes.standard.2m: unknown field; there are 1d, 1h, 1m, 5m, raw "
        "(TIDEGAUGE_RETENTION)",
        f"TG-retention-order: {file}: classes.long: 5m of 30 days is shorter than 1m of 40; "
        "a coarser tier is kept at least as long (TIDEGAUGE_RETENTION)",
        f"TG-retention-value: {file}: ledger: 'x' is no whole number of days, nor forever (TIDEGAUGE_RETENTION)",
        f"TG-retention-value: {file}: rejection: unknown field; there are alert_events, cardinality, classes, default, "
        "ledger, rejections, tenants (TIDEGAUGE_RETENTION)",
    ]


def test_a_file_of_another_kind_is_not_read_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "dump").open("wb") as file:
        file.truncate(1 << 43)  # more than could be read
    assert cli.main(["retention", "check", str(tmp_path / "dump")]) == 1
    assert f"TG-retention-size: {tmp_path}/dump is larger than 1048576 bytes" in capsys.readouterr().err


def test_a_bad_file_changes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text("classes:\n  standard: {raw: 0}\n")
    assert cli.main(["retention", "apply", str(file)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("TG-retention-value: ") and "classes.standard.raw" in error
    assert cli.main(["retention", "check", str(tmp_path / "none.yaml")]) == 1
    assert "TG-retention-file" in capsys.readouterr().err

"""`tidegauge rules backtest` but for ClickHouse: what it prints of a source."""

from pathlib import Path

import pytest

from promql.memory import MemorySource
from stack.backtest import main, moment, show
from stack.cli import main as tidegauge
from tests.notation import parse_series

T0 = 1_700_000_040_000  # 2023-11-14T22:14:00Z, a full minute
RULES = """
groups:
  - name: g
    interval: 1m
    rules:
      - {alert: Down, expr: up == 0, for: %s, labels: {severity: page}}
      - {alert: Twice, expr: 'label_replace(up, "i", "", "i", ".*") == 0'}
"""


def source() -> MemorySource:
    lines = ('up{i="a"} 1x10 0x9 1x20', 'up{i="b"} 1x15 0x1 1x24', 'up{i="c"} 1x10 0x30')
    return MemorySource(parse_series(line, 60_000, T0) for line in lines)


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_what_would_have_fired_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "new.yaml", RULES % "5m")
    assert show(path, None, source(), (T0, T0 + 40 * 60_000), "acme") == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        '2023-11-14T22:30:00Z  firing    Down{i="a", severity="page"} 0  pending since 2023-11-14T22:25:00Z',
        '2023-11-14T22:30:00Z  firing    Down{i="c", severity="page"} 0  pending since 2023-11-14T22:25:00Z',
        '2023-11-14T22:35:00Z  resolved  Down{i="a", severity="page"} 0  fired for 5m',
        "g/Down: fired 2 times for 2 label sets, 1 still firing; pending in vain 1 times",
    ]
    assert "new.yaml: 2023-11-14T22:14:00Z to 2023-11-14T22:54:00Z, " in shown.err
    assert "g/Twice at 2023-11-14T22:14:00Z: " in shown.err and "evaluations more had no answer" in shown.err


def test_two_files_are_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new, old = written(tmp_path, "new.yaml", RULES % "1m"), written(tmp_path, "old.yaml", RULES % "5m")
    assert show(new, old, source(), (T0, T0 + 40 * 60_000), "acme") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line[:2] for line in lines] == ["~ ", "~ ", "+ ", "1 "]
    assert lines[2] == '+ Down{i="b", severity="page"} 0  2023-11-14T22:31:00Z to 2023-11-14T22:32:00Z'
    assert lines[3] == "1 firings more, 0 fewer, 2 at other times, 0 the same"


def test_a_bad_file_is_not_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = written(tmp_path, "good.yaml", RULES % "1m"), written(tmp_path, "bad.yaml", RULES % "soon")
    assert show(good, bad, source(), (T0, T0), "acme") == 1
    assert "bad.yaml: line 6, group 'g', rule 'Down': TG-rule-duration" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1700000040", T0),
        ("1700000040.5", T0 + 500),
        ("2023-11-14T22:14:00Z", T0),
        ("2023-11-14T23:14:00+01:00", T0),
        ("2023-11-14 22:14", T0),
        ("now", 2 * T0),
        ("now-6h", 2 * T0 - 6 * 3_600_000),
        ("0", 0),
        ("4294967295", 4_294_967_295_000),
    ],
)
def test_moments(text: str, expected: int) -> None:
    assert moment(text, 2 * T0) == expected


@pytest.mark.parametrize("text", ["inf", "-inf", "nan", "-1", "1e400", "1760000000000", "1969-12-31", "now-292y"])
def test_moments_that_clickhouse_has_not(text: str) -> None:
    with pytest.raises(ValueError, match="is not from 1970 to 2106"):
        moment(text, 2 * T0)


@pytest.mark.parametrize("arguments", [["--from", "yesterday"], ["--from", "now", "--to", "now-1h"], []])
def test_times_that_are_none(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["f.yaml", *arguments])
    assert "--from" in capsys.readouterr().err


def test_the_command_knows_all_of_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "good.yaml", RULES % "1m")
    assert tidegauge(["rules", "check", str(path)]) == 0
    with pytest.raises(SystemExit):
        tidegauge(["rules", "backtest", "--help"])
    assert "--against" in capsys.readouterr().out

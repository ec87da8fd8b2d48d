"""`tidegauge rules backtest`: what it prints of a source, and what it says of time and tenants without samples."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from promql.memory import MemorySource
from schemas.batch import Series
from schemas.ids import series_id
from sinks import rows
from stack.backtest import main, moment, show
from stack.cli import main as tidegauge
from tests import embedded
from tests.notation import parse_series
from tests.query.small import filled
from tests.query.test_store import write

DATABASE = "backtest_test"
Backtest = Callable[..., tuple[int, list[str], list[str]]]
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
        "g/Twice: fired 0 times, pending 0 times; 41 evaluations had no answer",
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


QUIET = """
groups:
  - name: g
    interval: 1m
    rules:
      - {record: "up:min", expr: min(up)}
      - {alert: Load, expr: nod_load1 > 0}
      - {alert: Loads, expr: 'rate(nod_load1[10m]) > 0 or up{i=~"x|y"} offset 1h'}
      - {alert: Low, expr: "up:min < 0"}
      - {alert: Lower, expr: 'up:min{i="a"} < 0'}
      - {alert: Slow, expr: up == 0, for: 35m}
      - {alert: Gone, expr: absent(nod_load1) > 1}
"""


def test_no_alert_and_no_data_do_not_look_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "new.yaml", QUIET)
    assert show(path, None, source(), (T0, T0 + 40 * 60_000), "acme") == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [
        "g/Gone: fired 0 times, pending 0 times",
        "g/Load: fired 0 times, pending 0 times",
        "g/Loads: fired 0 times, pending 0 times",
        "g/Low: fired 0 times, pending 0 times",
        "g/Lower: fired 0 times, pending 0 times",
        "g/Slow: fired 0 times for 0 label sets; pending in vain 2 times, 1 still pending",
    ]
    # Evaluation begins 36 minutes before, for Slow; 10 minutes before that are the oldest that rate reads.
    assert [line.partition(": ")[2] for line in shown.err.splitlines()][:-1] == [
        "no series of nod_load1 between 2023-11-14T21:28:00Z and 2023-11-14T22:54:00Z, read by g/Load, g/Loads, g/Gone",
        'no series of up{i=~"x|y"} between 2023-11-14T20:33:00Z and 2023-11-14T21:54:00Z, read by g/Loads',
        'no series of up:min{i="a"} between 2023-11-14T21:33:00Z and 2023-11-14T22:54:00Z, read by g/Lower',
    ]


def test_evaluation_begins_with_the_oldest_sample(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "new.yaml", RULES % "5m")
    year = 365 * 86_400_000
    assert show(path, None, source(), (T0 - year, T0 + 40 * 60_000), "acme", T0) == 0
    shown = capsys.readouterr()
    assert (
        "TG-backtest-raw: the oldest sample that raw holds of tenant 'acme' is of 2023-11-14T22:14:00Z: " in shown.err
    )
    assert "evaluation begins there, not at --from, 2022-11-14T22:14:00Z" in shown.err
    assert "new.yaml: 2023-11-14T22:14:00Z to 2023-11-14T22:54:00Z, 82 evaluations in " in shown.err
    assert shown.out.splitlines()[-2].startswith("g/Down: fired 2 times")


def test_time_before_all_samples_has_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "new.yaml", RULES % "5m")
    assert show(path, None, source(), (T0 - 7_200_000, T0 - 3_600_000), "acme", T0) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "2023-11-14T22:14:00Z, after --to, 2023-11-14T21:14:00Z: there is nothing to evaluate" in shown.err


@pytest.fixture(scope="module")
def samples() -> Iterator[None]:
    """Tenant acme has samples of two days, late none, but a series."""
    with filled(DATABASE) as client:
        write(client, "acme", [parse_series('up{i="a"} 1x10 0x9 1x20', 60_000, T0)])
        write(client, "acme", [parse_series('up{i="z"} 1', 60_000, T0 + 2 * 86_400_000)])
        one = series_id("late", "up", ())
        client.insert("series", rows.series("late", [(one, Series("up", ()))], T0, T0))
        yield


@pytest.fixture
def backtest(
    samples: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Backtest:
    """Return what runs the command as one who may only read: (exit code, lines of stdout, of stderr)."""
    user, password = embedded.VIEWER
    given = {"": embedded.endpoint(), "_DATABASE": DATABASE, "_USER": user, "_PASSWORD": password}
    for name, value in given.items():
        monkeypatch.setenv(f"TIDEGAUGE_CLICKHOUSE{name}", value)
    path = written(tmp_path, "new.yaml", RULES % "5m")

    def run(tenant: str, start: str, end: str) -> tuple[int, list[str], list[str]]:
        code = main([str(path), "--tenant", tenant, "--from", start, "--to", end])
        shown = capsys.readouterr()
        return code, shown.out.splitlines(), shown.err.splitlines()

    return run


def test_clickhouse_tells_where_raw_begins(backtest: Backtest) -> None:
    code, out, err = backtest("acme", "2022-01-01", "2023-11-14T22:54:00Z")
    assert code == 0
    assert err[0].startswith(
        "TG-backtest-raw: the oldest sample that raw holds of tenant 'acme' is of 2023-11-14T22:14:00Z: "
    )
    assert out[-2] == "g/Down: fired 1 times for 1 label sets; pending in vain 0 times"


def test_a_tenant_without_samples_has_no_answer(backtest: Backtest) -> None:
    code, out, err = backtest("acmee", "2023-11-14", "2023-11-15")
    assert (code, out) == (1, [])
    assert err == ["TG-backtest-tenant: nothing is known of tenant 'acmee'; --tenant names whose samples to read"]
    code, out, err = backtest("late", "2023-11-14", "2023-11-15")
    assert (code, out) == (1, [])
    assert err == ["TG-backtest-raw: raw holds no sample of tenant 'late' (any more)"]


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

"""`tidegauge policy` as far as it needs no broker."""

import json
from pathlib import Path

import pytest

from stack.policy import main, table


def test_check_tells_all_that_is_wrong_with_all_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, entry in (("a", "{tenant: a, max_series: 0, windw: 1h}"), ("b", "{tenant: b}"), ("c", "{}")):
        (tmp_path / name).write_text(f"policies: [{entry}]")
    assert main(["check", *(str(tmp_path / name) for name in "abc")]) == 1
    shown = capsys.readouterr()
    assert shown.out == f"{tmp_path}/b: 1 policies, no faults\n"
    first, second, third = shown.err.splitlines()
    assert first == f"TG-policy-field: {tmp_path}/a: policies[0]: max_series: 0 is less than 1"
    assert second.startswith(
        f"TG-policy-field: {tmp_path}/a: policies[0]: windw: unknown field; there are action, clock"
    )
    assert third == f"TG-policy-field: {tmp_path}/c: policies[0]: tenant: is missing"


def test_a_file_of_another_kind_is_not_read_to_its_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (tmp_path / "dump").open("wb") as file:
        file.truncate(1 << 43)  # more than could be read
    assert main(["check", str(tmp_path / "dump")]) == 1
    assert capsys.readouterr().err == f"TG-policy-size: {tmp_path}/dump is larger than 262144 bytes\n"


def test_the_list_has_what_holds_and_says_what_the_settings_hold() -> None:
    held = {
        "a": b'{"tenant":"a"}',
        "b": b'{"dry_run":true,"max_series":5,"samples_per_second":5.0,"tenant":"b","tolerance_s":60}',
        "c": b'{"tenant":"c","window":"2h","x":1}',
    }
    first, second, third = table(held)
    usual = {"window": "1h", "action": "reject", "priority": "normal", "clock": "keep", "utf8": False, "metrics": []}
    left = {"max_series": "setting", "max_labels": "setting", "future_grace_s": "setting", "tolerance_s": "setting"}
    assert json.loads(first.removeprefix("a  ")) == {"tenant": "a", "dry_run": False, **usual, **left}
    own = {
        "max_series": 5,
        "tolerance_s": "60, or the setting if less",
        "samples_per_second": 5.0,
        "samples_burst": 50.0,
    }
    assert json.loads(second.removeprefix("b  dry run  ")) == {"tenant": "b", "dry_run": True, **usual, **left, **own}
    assert third.startswith("c  not in force: TG-policy-field: value: window: '2h' is none of ")
    assert "; TG-policy-field: value: x: unknown field; " in third

"""Which records bring a file into force; and the command line as far as it needs no broker."""

from dataclasses import replace
from pathlib import Path

import pytest

from load.rules import OWN, OWN_NAME, changes, main, name_of, table
from udfs.alert.rule import Rule, RuleFault

DATA = Path(__file__).parents[1] / "data" / "rules"


def rule(name: str, expr: str = "up", tenant: str = "acme", file: str = "f.yaml") -> Rule:
    return Rule(tenant, f"g/{name}", "g", name, expr, file=file)


STORED = {
    one.key: one.encode() for one in (rule("A"), rule("B"), rule("C", file="other.yaml"), rule("A", tenant="zeta"))
}


@pytest.mark.parametrize(
    ("wanted", "written", "deleted"),
    [
        ([rule("A"), rule("B")], set(), set()),
        ([rule("A", "up == 0"), rule("B")], {"acme/g/A"}, set()),
        ([rule("A"), rule("D")], {"acme/g/D"}, {"acme/g/B"}),
        ([], set(), {"acme/g/A", "acme/g/B"}),
        ([rule("A"), rule("B"), rule("E", file="f.yaml")], {"acme/g/E"}, set()),
    ],
)
def test_a_file_replaces_what_it_held_and_nothing_else(
    wanted: list[Rule], written: set[str], deleted: set[str]
) -> None:
    records = changes(STORED, wanted, "acme", "f.yaml")
    assert {key for key, value in records.items() if value is not None} == written
    assert {key for key, value in records.items() if value is None} == deleted


@pytest.mark.parametrize(
    ("wanted", "replace", "fault"),
    [
        ([rule("D"), rule("E")], False, "TG-rule-replace: .* named f.yaml, .*: acme/g/A, acme/g/B. .*--replace"),
        ([rule("D"), rule("E")], True, ""),
        ([rule("B"), rule("E")], False, ""),
        # Who empties a file means it.
        ([], False, ""),
    ],
)
def test_another_file_of_the_same_name_deletes_nothing_unasked(wanted: list[Rule], replace: bool, fault: str) -> None:
    if fault:
        with pytest.raises(RuleFault, match=fault):
            changes(STORED, wanted, "acme", "f.yaml", replace)
    else:
        assert None in changes(STORED, wanted, "acme", "f.yaml", replace).values()


def test_only_so_many_of_them_are_named() -> None:
    stored = {one.key: one.encode() for one in (rule(f"R{number}") for number in range(14))}
    with pytest.raises(RuleFault, match=r"acme/g/R0, .*, acme/g/R4 and 9 more"):
        changes(stored, [rule("A")], "acme", "f.yaml")


OWN_RULES = [rule("Watchdog", file=OWN_NAME), rule("CpuBusy", file=OWN_NAME)]
FORMER = {one.key: replace(one, file="rules.yaml").encode() for one in OWN_RULES}
USERS = rule("Theirs", file="rules.yaml")


@pytest.mark.parametrize(
    ("before", "written"),
    [
        ({}, {"acme/g/Watchdog", "acme/g/CpuBusy"}),
        (FORMER, {"acme/g/Watchdog", "acme/g/CpuBusy"}),
        ({**FORMER, USERS.key: USERS.encode()}, {"acme/g/Watchdog", "acme/g/CpuBusy"}),
        ({USERS.key: USERS.encode()}, {"acme/g/Watchdog", "acme/g/CpuBusy"}),
        ({one.key: one.encode() for one in OWN_RULES} | {USERS.key: USERS.encode()}, set()),
    ],
)
def test_rules_of_our_own_take_over_what_they_were_held_as_and_nothing_else(
    before: dict[str, bytes], written: set[str]
) -> None:
    records = changes(before, OWN_RULES, "acme", OWN_NAME)
    assert set(records) == written
    for key, value in records.items():
        assert value is not None
        # An alert goes on as long as the rule's key and revision stay.
        assert Rule.decode(value) == next(one for one in OWN_RULES if one.key == key)
        assert Rule.decode(value).revision == Rule.decode(before.get(key, value)).revision


def test_a_users_file_cannot_delete_our_own_rules() -> None:
    before = {one.key: one.encode() for one in OWN_RULES}
    assert set(changes(before, [USERS], "acme", "rules.yaml")) == {USERS.key}
    with pytest.raises(RuleFault, match=f"TG-rule-taken: {OWN_NAME} has a rule"):
        changes(before, [rule("CpuBusy", file="rules.yaml")], "acme", "rules.yaml")


def test_only_our_own_file_has_the_name_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(OWN.parent)
    assert OWN.exists()
    assert name_of(OWN) == name_of(Path("rules.yaml")) == name_of(Path("../flink-conf/rules.yaml")) == OWN_NAME
    assert name_of(tmp_path / "flink-conf" / "rules.yaml") == "rules.yaml"


@pytest.mark.parametrize("value", [b"garbage", b"[]", b'["tenant"]', b"7", b"{}"])
def test_a_record_that_cannot_be_read_is_left_alone(value: bytes) -> None:
    assert changes({"acme/g/X": value}, [], "acme", "f.yaml") == {}


def test_a_record_that_the_job_refuses_is_deleted_with_its_file() -> None:
    large = replace(rule("X"), annotations=(("runbook", "r" * 70_000),))
    assert changes({large.key: large.encode()}, [], "acme", "f.yaml") == {large.key: None}


def record(name: str, expr: str, file: str) -> Rule:
    return replace(rule("", expr, file=file), record=name, rule_id=f"g/{name}")


@pytest.mark.parametrize(
    ("wanted", "fault"),
    [
        ([rule("A"), rule("C")], "rule 'C': TG-rule-taken: other.yaml has a rule of this group and name already"),
        ([record("a", "b", "f.yaml")], "rule 'a': TG-rule-loop"),
        ([record("a", "up", "f.yaml"), record("c", "a + b", "f.yaml")], ""),
    ],
)
def test_what_the_job_would_refuse_beside_the_others_is_not_applied(wanted: list[Rule], fault: str) -> None:
    other = record("b", "a", "other.yaml")
    stored = {**STORED, other.key: other.encode(), "acme/g/X": b"garbage"}
    if not fault:
        assert changes(stored, wanted, "acme", "f.yaml", replace=True)
        return
    with pytest.raises(RuleFault, match=fault):
        changes(stored, wanted, "acme", "f.yaml", replace=True)


def test_check_says_what_is_wrong_and_where(capsys: pytest.CaptureFixture[str]) -> None:
    bad, good = DATA / "duration.bad.yaml", DATA / "prometheus.good.yaml"
    assert main(["check", str(good)]) == 0
    assert main(["check", str(bad), str(good), str(DATA / "absent.yaml")]) == 1
    shown = capsys.readouterr()
    assert "prometheus.good.yaml: 3 rules, no faults" in shown.out
    assert "duration.bad.yaml: line 7, group 'g', rule 'A': TG-rule-duration" in shown.err
    assert "absent.yaml: TG-rule-file" in shown.err


@pytest.mark.parametrize("command", ["check", "test"])
def test_a_file_of_another_kind_is_not_read_to_its_end(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "dump").open("wb") as file:
        file.truncate(1 << 43)  # more than could be read
    assert main([command, str(tmp_path / "dump")]) == 1
    assert "TG-rule-size: the file is larger than 4194304 bytes" in capsys.readouterr().err


def test_a_file_with_a_fault_is_not_applied(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["apply", str(DATA / "duration.bad.yaml")]) == 1
    assert "nothing was applied" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["apply rules.yaml", "list"])
def test_what_is_no_tenant_has_no_rules(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--tenant", "bad tenant"]) == 2
    assert capsys.readouterr().err.startswith("TG-tenant: 'bad tenant': ")


def test_the_list_is_a_table_in_the_order_of_evaluation(capsys: pytest.CaptureFixture[str]) -> None:
    record = Rule("acme", "g/a:b", "g", "", "sum(\n  up)", 30, record="a:b", file="f.yaml", position=0)
    alert = Rule("acme", "g/A#2", "g", "A", "up == 0", for_s=90, file="f.yaml", position=1)
    stored = {one.key: one.encode() for one in (alert, record, rule("A", tenant="zeta"))} | {"acme/g/X": b"garbage"}
    assert [line.split()[:7] for line in table(stored)][1:4] == [
        ["acme", "g", "a:b", "record", record.revision, "30s", "0s"],
        ["acme", "g", "A#2", "alert", alert.revision, "15s", "1m30s"],
        ["zeta", "g", "A", "alert", rule("A").revision, "15s", "0s"],
    ]
    assert table(stored)[1].endswith("f.yaml  sum( up)")
    assert table(stored)[4].startswith("acme/g/X  not in force: rule: TG-rule-json")
    assert len(table(stored, "zeta")) == 2 and len(table({})) == 1


def test_warnings_do_not_fail_a_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("groups: [{name: g, rules: [{alert: A, expr: up == 0}, {alert: A, expr: up == 1}]}]")
    assert main(["check", str(path)]) == 0
    assert "warning: line 1, group 'g', rule 'A': TG-rule-ambiguous" in capsys.readouterr().err

import json
from pathlib import Path

import pytest

from jobs.settings import FORMER_SHARDS, JobSettings
from stack import upgrade
from stack.home import Home
from stack.upgrade import Submitted


def test_a_home_that_does_not_say_has_the_shards_of_its_time(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert upgrade.load(home) == Submitted()
    home.jobs.write_text(json.dumps({"code": "c", "mode": "thread", "pending": {"gate": "file:/s"}}))
    assert upgrade.load(home) == Submitted("c", "thread", {"gate": "file:/s"}, FORMER_SHARDS)
    upgrade.save(home, Submitted("d", "thread", shards=4))
    assert upgrade.load(home) == Submitted("d", "thread", shards=4)


@pytest.mark.parametrize(
    ("asked", "recorded", "shards"),
    [("", 0, 4), ("", 8, 8), ("2", 0, 2), ("2", 8, 2), ("8", 8, 8)],
    ids=["a new home", "kept", "asked for", "asked for another", "asked for the same"],
)
def test_a_home_keeps_its_shards_unless_told(
    asked: str, recorded: int, shards: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIDEGAUGE_SHARDS", raising=False)
    if asked:
        monkeypatch.setenv("TIDEGAUGE_SHARDS", asked)
    assert upgrade.shards_of(JobSettings(), Submitted(shards=recorded)) == shards


@pytest.mark.parametrize(
    ("done", "refused"),
    [
        (Submitted(), ""),
        (Submitted("c", "thread", shards=4), ""),
        (Submitted("c", "process", shards=4), "TG-execution-mode"),
        (Submitted("c", "thread", shards=8), "TG-shards .* 8 shards .* says 4: .* TIDEGAUGE_SHARDS=8"),
    ],
    ids=["nothing before", "the same", "another mode", "other shards"],
)
def test_state_of_another_kind_is_refused(done: Submitted, refused: str) -> None:
    if not refused:
        upgrade.check(done, "thread", 4)
        return
    with pytest.raises(upgrade.UpgradeError, match=refused):
        upgrade.check(done, "thread", 4)

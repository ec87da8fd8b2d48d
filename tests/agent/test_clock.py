"""How far a clock is off: said only where the broker's stamp leaves no doubt."""

import pytest

from agent.clock import Clock


@pytest.mark.parametrize(
    ("sent", "taken", "text"),
    [
        (0, 100, ""),
        (60_000, 60_000, ""),
        (60_001, 60_100, "60 s ahead of"),
        (660_000, 660_500, "660 s ahead of"),
        (-660_500, -660_000, "660 s behind"),
        # A record that was long under way: the stamp is of any time between.
        (-90_000, 10, ""),
        (-90_000, 90_000, ""),
        (-200_000, -61_000, "61 s behind"),
    ],
)
def test_how_far_it_is_off(sent: int, taken: int, text: str) -> None:
    clock = Clock()
    clock.taken(1_000_000 + sent, 1_000_000, 1_000_000 + taken)
    assert clock.text() == text


def test_what_was_known_stays_while_a_stamp_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "tidegauge.agent")
    clock = Clock()
    for sent, taken in ((700_000, 700_100), (0, 700_000), (690_000, 690_100), (-90_000, -80_000), (0, 5)):
        clock.taken(1_000_000 + sent, 1_000_000, 1_000_000 + taken)
    assert [record.message.partition(";")[0] for record in caplog.records] == [
        "TG-agent-clock: this machine's clock is 700 s ahead of the broker's",
        "TG-agent-clock: this machine's clock is 80 s behind the broker's",
        "the clock agrees with the broker's again",
    ]

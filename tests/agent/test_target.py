import pytest

from agent.settings import Settings
from agent.target import Target, relabel


@pytest.mark.parametrize(
    ("entry", "job", "instance"),
    [
        ("http://127.0.0.1:9249/metrics", "scrape", "127.0.0.1:9249"),
        ("flink=http://127.0.0.1:9249/", "flink", "127.0.0.1:9249"),
        (" q=https://example.org/m?a=b ", "q", "example.org:443"),
        ("http://example.org/m", "scrape", "example.org:80"),
        ("http://[::1]:8080/m", "scrape", "[::1]:8080"),
    ],
)
def test_entry(entry: str, job: str, instance: str) -> None:
    target = Target.parse(entry)
    assert (target.job, target.instance) == (job, instance)


@pytest.mark.parametrize("entry", ["ftp://a", "a=b", "http://", "9a=http://x:1", "http://:80/", "http://x:99999/"])
def test_bad_entry(entry: str) -> None:
    with pytest.raises(ValueError):
        Target.parse(entry)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, {"job": "j", "instance": "i"}),
        ({"a": "1", "b": ""}, {"a": "1", "job": "j", "instance": "i"}),
        ({"job": "x"}, {"exported_job": "x", "job": "j", "instance": "i"}),
        ({"job": ""}, {"job": "j", "instance": "i"}),
        (
            {"job": "x", "exported_job": "y", "instance": "z"},
            {
                "exported_job": "y",
                "exported_exported_job": "x",
                "exported_instance": "z",
                "job": "j",
                "instance": "i",
            },
        ),
    ],
)
def test_relabel_keeps_what_it_moves(labels: dict[str, str], expected: dict[str, str]) -> None:
    assert relabel(labels, "j", "i") == tuple(sorted(expected.items()))


def test_settings_split_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_AGENT_SCRAPE", "a=http://h:1/m, http://h:2/m,")
    monkeypatch.setenv("TIDEGAUGE_QUERY", "127.0.0.1:1")  # another process's setting
    assert [target.job for target in Settings().agent_scrape] == ["a", "scrape"]


@pytest.mark.parametrize(
    ("name", "value"),
    [("INTERVAL_S", "0"), ("SCRAPE", "nonsense"), ("TENANT", "a/b"), ("SOURCE", ""), ("BUFFER_BYTES", "-1")],
)
def test_settings_refuse(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"TIDEGAUGE_AGENT_{name}", value)
    with pytest.raises(ValueError, match=f"agent_{name.lower()}"):
        Settings()

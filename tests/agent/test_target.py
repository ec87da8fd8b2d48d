import base64

import pytest
from pydantic import ValidationError

from agent.settings import Settings
from agent.target import Target, relabel
from schemas.setting import faults


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


@pytest.mark.parametrize(
    "entry", ["ftp://a", "a=b", "http://", "9a=http://x:1", "http://:80/", "http://x:99999/", "http://x/m,y:80/m"]
)
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


FEDERATE = "http://h:1/federate?match[]={job=~%22a|b%22,x=%22y%22}&match[]={__name__=~%22a{1,2}%22}"


@pytest.mark.parametrize(
    ("value", "urls"),
    [
        ("a=http://h:1/m, http://h:2/m,", ["http://h:1/m", "http://h:2/m"]),
        ("a=http://h:1/m\n  b=https://h:2/m", ["http://h:1/m", "https://h:2/m"]),
        (f"{FEDERATE},b=http://h:2/m?x=1,2,https://h:3/", [FEDERATE, "http://h:2/m?x=1,2", "https://h:3/"]),
        ("http://u:a,b@h:1/m,c=http://u:p,@h:2/m", ["http://h:1/m", "http://h:2/m"]),
        (" , ", []),
    ],
)
def test_settings_split_the_list(monkeypatch: pytest.MonkeyPatch, value: str, urls: list[str]) -> None:
    monkeypatch.setenv("TIDEGAUGE_AGENT_SCRAPE", value)
    monkeypatch.setenv("TIDEGAUGE_QUERY", "127.0.0.1:1")  # another process's setting
    assert [target.url for target in Settings().agent_scrape] == urls


@pytest.mark.parametrize(
    ("entry", "url", "credentials"),
    [
        ("http://h:1/m", "http://h:1/m", ""),
        ("http://@h:1/m", "http://h:1/m", ""),
        ("a=https://me:secret@h/m?u=me@h", "https://h/m?u=me@h", "me:secret"),
        ("http://me:p%40s%3As%2F@[::1]:8/m", "http://[::1]:8/m", "me:p@s:s/"),
        ("http://me:a@b@h/m", "http://h/m", "me:a@b"),
        ("http://me@h/m", "http://h/m", "me:"),
        ("http://me:gr%C3%BCn@h/m", "http://h/m", "me:gr\u00fcn"),
    ],
)
def test_who_asks_is_no_part_of_the_url(entry: str, url: str, credentials: str) -> None:
    target = Target.parse(entry)
    assert (target.url, "@" in target.instance) == (url, False)
    sent = target.authorization.removeprefix("Basic ")
    assert base64.b64decode(sent).decode() == credentials
    assert not sent or (sent not in repr(target) and "secret" not in repr(target))


@pytest.mark.parametrize(
    "entry",
    [
        "http://me:secret@h:x/m",
        "me:secret@h:1/m",
        "http://me:secret@/m",
        "http://me:se/cret@h/m",
        "ftp://u:secret@h/",
        "http://me:se cret@h/m",
        "http://me:secret@h/m,ftp://h/m",
    ],
)
def test_what_is_wrong_with_a_target_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch, entry: str) -> None:
    monkeypatch.setenv("TIDEGAUGE_AGENT_SCRAPE", f"http://me:secret@h:1/m,a={entry}" if "//" in entry else entry)
    with pytest.raises(ValidationError) as raised:
        Settings()
    told = " ".join([*faults(raised.value), str(raised.value), repr(raised.value)])
    assert "TIDEGAUGE_AGENT_SCRAPE" in told
    assert "secret" not in told and "cret" not in told


@pytest.mark.parametrize(
    ("name", "value"),
    [("INTERVAL_S", "0"), ("SCRAPE", "nonsense"), ("TENANT", "a/b"), ("SOURCE", ""), ("BUFFER_BYTES", "-1")],
)
def test_settings_refuse(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"TIDEGAUGE_AGENT_{name}", value)
    with pytest.raises(ValueError, match=f"agent_{name.lower()}"):
        Settings()

import hashlib
import logging
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from query.errors import ConfigError, QueryError
from query.settings import QuerySettings
from query.tenants import KeyFile, KeyTenants, OpenTenants


@pytest.mark.parametrize("bind", ["127.0.0.1:9099", "localhost:1", "[::1]:9099"])
def test_the_loopback_needs_no_authentication(bind: str) -> None:
    assert QuerySettings(query=bind).port > 0


@pytest.mark.parametrize("bind", ["0.0.0.0:9099", "10.0.0.1:9099", "[::]:9099", ":9099"])
def test_any_other_address_does(bind: str) -> None:
    with pytest.raises(ConfigError, match="TG-query-open"):
        QuerySettings(query=bind)
    assert QuerySettings(query=bind, query_allow_open=True).query == bind
    assert QuerySettings(query=bind, query_auth="key", query_keys="keys.yaml").query == bind


def test_keys_need_a_file() -> None:
    with pytest.raises(ConfigError, match="TG-query-keys"):
        QuerySettings(query_auth="key")


def test_unknown_settings_fail() -> None:
    with pytest.raises(ValidationError):
        QuerySettings(nonsense=1)  # type: ignore[call-arg] # the mistake under test


def test_the_environment_is_shared_with_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEGAUGE_KAFKA", "127.0.0.1:1")
    monkeypatch.setenv("TIDEGAUGE_CLICKHOUSE", "127.0.0.1:2")
    assert QuerySettings().clickhouse == "127.0.0.1:2"


def test_without_authentication_the_header_names_the_tenant() -> None:
    tenants = OpenTenants("default")
    assert tenants.of({}) == "default"
    assert tenants.of({"x-scope-orgid": "acme"}) == "acme"
    assert tenants.of({"x-scope-orgid": "t" * 64}) == "t" * 64
    for wrong in ("a b", "t" * 65):
        with pytest.raises(QueryError, match="is not 1 to 64 of") as caught:
            tenants.of({"x-scope-orgid": wrong})
        assert caught.value.id == "TG-query-tenant"


def test_with_keys_only_the_key_does(tmp_path: Path) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(f"{hashlib.sha256(b'secret').hexdigest()}: acme\n")
    tenants = KeyTenants.read(str(path))
    assert tenants.of({"authorization": "Bearer secret", "x-scope-orgid": "other"}) == "acme"
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Basic secret"}, {"x-scope-orgid": "a"}):
        with pytest.raises(QueryError) as caught:
            tenants.of(headers)
        assert caught.value.status == 401


KEY = f"{'a' * 64}: "


@pytest.mark.parametrize(
    "text", ["", "- a", "secret: acme", "{", f"{KEY}'a b'", KEY + "t" * 65, f"{KEY}one\n{KEY}other\n"]
)
def test_a_key_file_that_is_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="TG-query-keys"):
        KeyTenants.read(str(path))


@pytest.mark.parametrize("key", ["k\u00e9y", "voil\u00e0", "\u043a\u043b\u044e\u0447"])
def test_a_key_may_have_any_characters(key: str) -> None:
    tenants = KeyTenants({hashlib.sha256(key.encode()).hexdigest(): "acme"})
    # As ASGI servers hand a header on.
    assert tenants.of({"authorization": "Bearer  " + key.encode().decode("latin-1") + " "}) == "acme"


def digest(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def test_keys_come_and_go_without_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path, now = tmp_path / "keys.yaml", [0.0]
    path.write_text(f"{digest('old')}: acme\n")
    tenants = KeyFile(str(path), lambda: now[0])

    def known(*keys: str) -> list[bool]:
        found = []
        for key in keys:
            try:
                found.append(tenants.of({"authorization": f"Bearer {key}"}) == "acme")
            except QueryError:
                found.append(False)
        return found

    def put(text: str) -> None:
        # As an editor or a mounted secret does: another file in its place.
        (tmp_path / "next").write_text(text)
        os.replace(tmp_path / "next", path)

    put(f"{digest('old')}: acme\n{digest('new')}: acme\n")
    now[0] = 0.9
    assert known("old", "new") == [True, False]
    now[0] = 1.0
    assert known("old", "new") == [True, True]
    put(f"{digest('new')}: acme\n")
    now[0] = 2.5
    assert known("old", "new") == [False, True]
    with caplog.at_level(logging.ERROR):
        for number in range(2):
            if number:
                path.unlink()
            else:
                put("- nothing")
            for look in (0.0, 1.0):
                now[0] = 10.0 + 10 * number + look
                assert known("old", "new") == [False, True]
    assert len(caplog.records) == 2 and all("TG-query-keys" in one.message for one in caplog.records)
    put(f"{digest('third')}: acme\n")
    now[0] = 50.0
    assert known("new", "third") == [False, True]


def test_a_file_of_keys_that_is_none_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="TG-query-keys"):
        KeyFile(str(tmp_path / "none.yaml"), lambda: 0.0)

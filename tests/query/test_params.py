import pytest

from query.errors import QueryError
from query.params import duration_ms, label_name, limit, time_ms, timeout_s


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("0", 0),
        ("1714608000", 1_714_608_000_000),
        ("1714608000.781", 1_714_608_000_781),
        ("1.5e3", 1_500_000),
        ("-60", -60_000),
        ("2024-05-02T00:00:00Z", 1_714_608_000_000),
        ("+.5", 500),
        ("1.", 1_000),
        ("2024-05-02T02:00:00.250+02:00", 1_714_608_000_250),
        ("2024-05-02T00:00:00,5-00:00", 1_714_608_000_500),
        ("2024-05-02T00:00:00.9999999999Z", 1_714_608_000_999),
        ("1969-12-31T23:59:59.001Z", -999),
    ],
)
def test_times(text: str, want: int) -> None:
    assert time_ms({"t": text}, "t", None) == want


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "1e40", "1e308", "1e400", "inf", "nan", "NaN", "1714608000 ", " 1", "1\n", "1_714", "\u0661", "."),
        *("2024-05-02", "2024-05-02T00:00:00", "2024-13-01T00:00:00Z", "2024-05-02T24:00:00Z", "20240502T000000Z"),
        *("2024-05-02 00:00:00Z", "2024-05-02t00:00:00Z", "2024-05-02T00:00:00z", "2024-05-02T00:00:00+0200"),
        *("2024-05-02T00:00Z", "2024-05-02T00:00:00.Z", "2024-05-02T00:00:00Z\n", "0000-01-01T00:00:00Z"),
        *("2024-W18-4T00:00:00Z", "0001-01-01T00:00:00+23:59"),
    ],
)
def test_times_refused(text: str) -> None:
    with pytest.raises(QueryError) as caught:
        time_ms({"t": text}, "t", None)
    assert (caught.value.status, caught.value.kind) == (400, "bad_data")


@pytest.mark.parametrize(("text", "want"), [("15", 15_000), ("0.5", 500), ("1h30m", 5_400_000), ("1d", 86_400_000)])
def test_durations(text: str, want: int) -> None:
    assert duration_ms({"step": text}, "step") == want


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "x",
        "1m1h",
        "inf",
        "nan",
        "1e30",
        "1e308",
        "0s",
        "99999999999y",
        "9" * 5000 + "s",
        "1_0",
        "15 ",
        "1\n",
    ],
)
def test_durations_refused(text: str) -> None:
    with pytest.raises(QueryError) as caught:
        duration_ms({"step": text}, "step")
    assert caught.value.status == 400


# As Prometheus's TestUnescape: what is not well-formed stays as it is.
@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("job", "job"),
        ("http_2e_status", "http_2e_status"),
        ("U__http_2e_status", "http.status"),
        ("U__a__b_2E_c_1f600_", "a_b.c\U0001f600"),
        ("U___5f__20__", "U___5f__20__"),
        ("U___5f__20_", "_ "),
        ("U__", ""),
        ("U__a\n_", "U__a\n_"),
        ("U__a_", "U__a_"),
        ("U__a_2e", "U__a_2e"),
        ("U__a_2g_", "U__a_2g_"),
        ("U__a_d800_", "U__a_d800_"),
        ("U__a_110000_", "U__a_110000_"),
        ("u__a_2e_", "u__a_2e_"),
    ],
)
def test_names_of_labels(text: str, want: str) -> None:
    assert label_name(text) == want


def test_limit_and_timeout() -> None:
    assert [limit({"limit": text}) for text in ("", "0", "7")] == [0, 0, 7]
    assert [timeout_s({"timeout": text}, 30) for text in ("", "5", "1m", "250ms")] == [30, 5, 30, 0.25]

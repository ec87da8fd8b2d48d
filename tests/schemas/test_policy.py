"""The file of what tenants may send: what is refused, and how it says so."""

import pytest

from schemas.policy import Policy, PolicyFault, parse

BAD = [
    ("policies: [", "TG-policy-yaml: f.yaml: line 1: "),
    ("policies:\n- tenant: a\n  max_series: 5\n  max_series: 6", "TG-policy-yaml: f.yaml: line 4: key 'max_series' is"),
    ("policies: []\npolicies: []", "TG-policy-yaml: f.yaml: line 2: key 'policies' is given twice"),
    ("policies: [{tenant: a, max_series: 2024-02-30}]", "TG-policy-yaml: f.yaml: line 1: '2024-02-30' is no valid"),
    ("policies: [{tenant: a, max_series: !!int abc}]", "TG-policy-yaml: f.yaml: line 1: 'abc' is no valid int"),
    ("policies: " + "9" * 5000, "TG-policy-yaml: f.yaml: line 1: '999"),
    ("policies: [{tenant: a, max_series: 0x" + "f" * 5000 + "}]", "TG-policy-yaml: f.yaml: line 1: '0xf"),
    ("policies: " + "[" * 5000, "TG-policy-yaml: f.yaml: it is nested too deeply"),
    ("a: 1", "TG-policy-file: f.yaml: a policy file has one key"),
    ("policies: [{tenant: a}, {tenant: a}]", "TG-policy-twice: f.yaml: policies[1]: tenant 'a' is given twice"),
    ("policies: [{tenant: a b}]", "TG-policy-field: f.yaml: policies[0]: tenant: "),
    ("#" + "x" * (1 << 18), "TG-policy-size: f.yaml is larger than 262144 bytes"),
]
NUMBERS = ("max_series", "future_grace_s", "tolerance_s", "max_labels")
RATES = ("samples_per_second", "samples_burst", "source_samples_per_second", "source_samples_burst")


@pytest.mark.parametrize(("text", "message"), BAD, ids=[text[:30] for text, _ in BAD])
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(PolicyFault) as caught:
        parse(text, "f.yaml")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *((name, value) for name in NUMBERS for value in ("yes", "60.0", "'60'")),
        *((name, value) for name in RATES for value in ("yes", "'60'")),
        ("metrics", "[{name: m, max_series: true}]"),
        ("metrics", "[{name: m, per_label_value_limits: {x: true}}]"),
    ],
)
def test_a_number_is_a_number(field: str, value: str) -> None:
    with pytest.raises(
        PolicyFault, match=rf"TG-policy-field: f.yaml: policies\[0\]: {field}\S*: .* is no (whole )?number"
    ):
        parse(f"policies: [{{tenant: a, {field}: {value}}}]", "f.yaml")


@pytest.mark.parametrize("field", RATES)
@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan"])
def test_a_rate_is_finite(field: str, value: str) -> None:
    with pytest.raises(PolicyFault, match=rf"TG-policy-field: f.yaml: policies\[0\]: {field}: \S+ is not "):
        parse(f"policies: [{{tenant: a, {field}: {value}}}]", "f.yaml")


def test_a_rate_may_be_whole_and_is_kept_as_it_always_was() -> None:
    (policy,) = parse("policies: [{tenant: a, max_series: 1_000, samples_per_second: 5}]", "f.yaml")
    assert policy.encode() == b'{"max_series":1000,"samples_per_second":5.0,"tenant":"a"}'


def test_every_fault_is_told_with_the_fields_that_there_are() -> None:
    text = """
policies:
- {tenant: a, max_serie: 5, window: 2h, metrics: [{name: "", max_series: 0}, {max: 1}]}
- {tenant: b}
- {tenant: b, dry_run: perhaps}
- 7
- {tenant: b, metrics: 5}
- {tenant: b}
"""
    with pytest.raises(PolicyFault) as caught:
        parse(text, "f.yaml")
    fields = ", ".join(sorted(Policy.model_fields))
    metric = "action, allowed_labels, max_series, name, per_label_value_limits"
    assert str(caught.value).splitlines() == [
        "TG-policy-field: f.yaml: policies[0]: window: '2h' is none of '1m', '1h' or '1d'",
        "TG-policy-field: f.yaml: policies[0]: metrics.0.name: is empty",
        "TG-policy-field: f.yaml: policies[0]: metrics.0.max_series: 0 is less than 1",
        "TG-policy-field: f.yaml: policies[0]: metrics.1.name: is missing",
        f"TG-policy-field: f.yaml: policies[0]: metrics.1.max: unknown field; there are {metric}",
        f"TG-policy-field: f.yaml: policies[0]: max_serie: unknown field; there are {fields}",
        "TG-policy-field: f.yaml: policies[2]: dry_run: 'perhaps' is neither true nor false",
        "TG-policy-field: f.yaml: policies[3]: 7 is no mapping",
        "TG-policy-field: f.yaml: policies[4]: metrics: 5 is no list",
        "TG-policy-twice: f.yaml: policies[5]: tenant 'b' is given twice",
    ]


@pytest.mark.parametrize(
    ("kept", "most"), [(b'{"tenant":"a"}', 7), (b'{"max_series":1000000,"tenant":"a"}', 1_000_000)]
)
def test_what_names_no_series_has_the_settings_and_lies_as_it_always_did(kept: bytes, most: int) -> None:
    policy = Policy.decode(kept)
    assert policy.encode() == kept
    held, other = policy.under(7), policy.under(8)
    assert held.most_series == most
    assert (held.revision == other.revision) == (most != 7)

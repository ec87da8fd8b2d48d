"""Why something is refused: one member a reason, each with its stable id and the setting that changes it.

The ids are a contract: users filter, alert and script by them. Never rename one.
"""

from enum import Enum


class Reason(Enum):
    """value: (stable id, setting that changes the limit or "", what it means in one sentence)."""

    OVERSIZED = (
        "TG-record-size",
        "TIDEGAUGE_GATE_MAX_RECORD_BYTES",
        "the Kafka record is larger than the gate accepts",
    )
    TRUNCATED = ("TG-truncated", "", "the record ends before its last field")
    NOT_AVRO = ("TG-not-avro", "", "the record is not in Avro's single-object encoding")
    UNKNOWN_SCHEMA = ("TG-unknown-schema", "", "the writer's schema fingerprint is not one of those pinned here")
    MALFORMED = ("TG-malformed", "", "the record does not follow its schema")
    COLUMN_LENGTH = ("TG-column-length", "", "the batch's columns do not fit each other")
    SERIES_COUNT = ("TG-series-count", "TIDEGAUGE_GATE_MAX_SERIES_PER_BATCH", "the batch declares too many series")
    TENANT = ("TG-tenant", "", "the tenant is empty, too long or has characters other than A-Z a-z 0-9 _ . -")
    SOURCE = ("TG-source", "TIDEGAUGE_GATE_MAX_LABEL_VALUE_LENGTH", "the source is too long or holds a NUL")
    NAME = (
        "TG-metric-name",
        "TIDEGAUGE_GATE_MAX_NAME_LENGTH",
        "the metric name is empty, too long or not of the charset",
    )
    LABEL_NAME = (
        "TG-label-name",
        "TIDEGAUGE_GATE_MAX_NAME_LENGTH",
        "a label name is empty, too long, reserved or not of the charset",
    )
    LABEL_VALUE = (
        "TG-label-value",
        "TIDEGAUGE_GATE_MAX_LABEL_VALUE_LENGTH",
        "a label value is too long or holds a NUL",
    )
    UNIT = ("TG-unit", "TIDEGAUGE_GATE_MAX_NAME_LENGTH", "the unit is too long or holds a NUL")
    LABEL_COUNT = ("TG-label-count", "TIDEGAUGE_GATE_MAX_LABELS", "the series has too many labels")
    LABEL_DUPLICATE = ("TG-label-duplicate", "", "a label name is given twice")
    SERIES_DUPLICATE = ("TG-series-duplicate", "", "the same series stands twice in one series set")
    TOO_FUTURE = (
        "TG-too-future",
        "TIDEGAUGE_GATE_FUTURE_GRACE_S",
        "the timestamp is too far ahead of the broker's clock",
    )
    TOO_OLD = (
        "TG-too-old",
        "TIDEGAUGE_GATE_TOLERANCE_S",
        "the timestamp is older than the tolerance: do not send it again",
    )
    SERIES_INDEX = ("TG-series-index", "", "a sample points outside its series set")
    DISTRIBUTION_TYPE = (
        "TG-distribution-type",
        "",
        "a weight other than 1 for a series whose type is not distribution",
    )
    DISTRIBUTION_VALUE = (
        "TG-distribution-value",
        "",
        "a value of the distribution is not finite; the whole distribution is refused",
    )
    WEIGHT = (
        "TG-weight",
        "",
        "a weight of the distribution is 0, or they sum to 2^32 or more; the whole distribution is refused",
    )
    CENTROIDS = (
        "TG-centroid-count",
        "TIDEGAUGE_GATE_MAX_CENTROIDS",
        "the distribution has too many values: send a digest, or fewer at a time",
    )
    SERIES_LIMIT = (
        "TG-series-limit",
        "max_series of the metric in the tenant's policy",
        "the metric has as many series as it may have within the window",
    )
    TENANT_SERIES_LIMIT = (
        "TG-tenant-series-limit",
        "max_series in the tenant's policy",
        "the tenant has as many series as it may have within the window",
    )
    LABEL_VALUES_LIMIT = (
        "TG-label-values-limit",
        "per_label_value_limits of the metric in the tenant's policy",
        "the label has as many values as it may have within the window",
    )
    RATE = (
        "TG-rate-limit",
        "samples_per_second in the tenant's policy",
        "the tenant sends more samples a second than it may",
    )
    SOURCE_RATE = (
        "TG-source-rate-limit",
        "source_samples_per_second in the tenant's policy",
        "the source sends more samples a second than it may",
    )
    SHED = ("TG-shed", "TIDEGAUGE_GATE_SHED_LAG_S", "the gate lags behind, and the tenant's priority is not high")
    CLOCK_SKEW = (
        "TG-clock-skew",
        "clock in the tenant's policy",
        "the source's clock is more than a minute off; nothing is refused for it",
    )
    REFUSED_BLOCK = ("TG-refused-block", "", "ClickHouse refused the block; its rows were not stored")

    @property
    def id(self) -> str:
        """The stable id, TG-..."""
        return self.value[0]

    @property
    def setting(self) -> str:
        """The setting that changes the limit, empty if none does."""
        return self.value[1]

    @property
    def meaning(self) -> str:
        """What it means, in one sentence."""
        return self.value[2]

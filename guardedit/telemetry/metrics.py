"""Every metric family that guardedit exposes: name, type, labels, unit and help text.

A metric that is not listed here does not exist. Alert rules and dashboards are tested against this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: The label value for every value that is not in the list of a bounded label.
OTHER = "other"
#: The label value if a label does not apply, such as the method of a correction that went to memory.
NONE = "none"

#: Reasons for a rollback of the serving epoch.
TRIGGERS = ("drift", "manual")
#: States of the agent. Exactly one of them is 1. `failed`: a cycle ended with an error.
STATES = ("running", "failed")
#: Modes of the policy in force. Exactly one of them is 1.
MODES = ("enforce", "shadow")
#: Whether a question is about a fact.
SCOPES = ("accept", "unsure", "out")

#: Upper bounds of the duration buckets, in seconds: a decision takes milliseconds, a batch minutes.
DURATION_BUCKETS_S = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class MetricType(StrEnum):
    """The Prometheus metric types in use."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricFamily:
    """One metric family. `unit` is the base unit at the end of the name, before `_total`, or empty."""

    name: str
    type: MetricType
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""

    @property
    def series(self) -> tuple[str, ...]:
        """The names of the samples on the page."""
        if self.type is MetricType.HISTOGRAM:
            return tuple(f"{self.name}_{end}" for end in ("bucket", "count", "sum"))
        return (self.name,)


def _family(name: str, kind: MetricType, text: str, *labels: str, unit: str = "") -> MetricFamily:
    return MetricFamily(name=f"guardedit_{name}", type=kind, help=text, labels=labels, unit=unit)


# Computed from the ledger at every scrape, so they survive a restart and can be compared with the ledger.
CORRECTIONS = _family(
    "corrections_total",
    MetricType.COUNTER,
    "Settled corrections; sources that are not declared are counted as other.",
    *("source", "route", "outcome"),
)
GATES = _family(
    "gate_evaluations_total",
    MetricType.COUNTER,
    "Gate evaluations in recorded verdicts.",
    "gate",
    "verdict",
)
TRIALS = _family("trials_total", MetricType.COUNTER, "Recorded verdicts on candidate epochs.", "verdict")
ROLLBACKS = _family("rollbacks_total", MetricType.COUNTER, "Rollbacks of the serving epoch.", "trigger")
FACTS = _family("facts", MetricType.GAUGE, "Live facts of the serving epoch.", "placement")
WEIGHT_EDITS = _family("weight_edits", MetricType.GAUGE, "Live weight edits of the serving epoch.")
TENSORS_REPAIRED = _family(
    "tensors_repaired_total",
    MetricType.COUNTER,
    "Served tensors that had changed in memory and were restored.",
)
DEAD_LETTERS = _family("dlq_size", MetricType.GAUGE, "Dead letters that were neither retried nor dropped.")
EPOCH = _family("epoch", MetricType.GAUGE, "Number of the serving epoch in the ledger.")
EPOCH_CREATED = _family(
    "epoch_created_timestamp_seconds",
    MetricType.GAUGE,
    "When the serving epoch was created, in seconds since 1970.",
    unit="seconds",
)

# From both: the values of source `inbox` come from the ledger, those of brokers from events.
QUEUE_LAG = _family(
    "queue_lag", MetricType.GAUGE, "Waiting messages; NaN if the broker does not know.", "source"
)
QUEUE_OLDEST = _family(
    "queue_oldest_seconds",
    MetricType.GAUGE,
    "Age of the oldest waiting message; NaN if none waits.",
    "source",
    unit="seconds",
)

# From events: they describe this process and start at zero with it.
DURATION = _family(
    "edit_duration_seconds", MetricType.HISTOGRAM, "Duration of a step.", "method", "stage", unit="seconds"
)
GATE_VALUE = _family("gate_value", MetricType.GAUGE, "The last value that the gate measured.", "gate")
GATE_THRESHOLD = _family(
    "gate_threshold", MetricType.GAUGE, "The limit of the gate's last measurement.", "gate"
)
PERPLEXITY_RATIO = _family(
    "perplexity_ratio",
    MetricType.GAUGE,
    "Perplexity of the serving epoch over perplexity of the base model.",
    "probe_set",
    unit="ratio",
)
PERPLEXITY_LIMIT = _family(
    "perplexity_limit_ratio",
    MetricType.GAUGE,
    "The perplexity ratio at which the serving epoch is rolled back.",
    "probe_set",
    unit="ratio",
)
SERVING_EPOCH = _family(
    "serving_epoch", MetricType.GAUGE, "Number of the epoch that a replica answers from.", "replica"
)
PUBLISHED_EPOCH = _family(
    "published_epoch",
    MetricType.GAUGE,
    "Number of the epoch that a replica of a destination answers from; 0 before the first one.",
    *("destination", "replica"),
)
PUBLISH_PROBLEM = _family(
    "publish_problem",
    MetricType.GAUGE,
    "1 while something keeps a replica of a destination from the next epoch, else 0.",
    *("destination", "replica"),
)
LOOKUPS = _family("memory_lookups_total", MetricType.COUNTER, "Questions looked up in the memory.", "scope")
RANK_USED = _family(
    "rank_used_ratio",
    MetricType.GAUGE,
    "Live keys over the effective free rank of the edited layer.",
    "layer",
    unit="ratio",
)
STATE = _family("state", MetricType.GAUGE, "1 for the present state of the agent, 0 for the others.", "state")
ERRORS = _family("errors_total", MetricType.COUNTER, "Errors after which the agent continued.", "stage")

# About the policy in force. In shadow mode nothing is served, so epochs need not be followed.
MODE = _family(
    "mode", MetricType.GAUGE, "1 for the mode of the policy in force, 0 for the other one.", "mode"
)

# About the process itself.
BUILD_INFO = _family(
    "build_info",
    MetricType.GAUGE,
    "Always 1; the labels identify what runs.",
    "version",
    "model",
    "policy_sha",
)
LEDGER_READABLE = _family(
    "ledger_readable",
    MetricType.GAUGE,
    "1 if this scrape could read the ledger; if 0, its metrics are missing.",
)

FAMILIES: tuple[MetricFamily, ...] = (
    CORRECTIONS,
    GATES,
    TRIALS,
    ROLLBACKS,
    FACTS,
    WEIGHT_EDITS,
    TENSORS_REPAIRED,
    DEAD_LETTERS,
    EPOCH,
    EPOCH_CREATED,
    QUEUE_LAG,
    QUEUE_OLDEST,
    DURATION,
    GATE_VALUE,
    GATE_THRESHOLD,
    PERPLEXITY_RATIO,
    PERPLEXITY_LIMIT,
    SERVING_EPOCH,
    PUBLISHED_EPOCH,
    PUBLISH_PROBLEM,
    LOOKUPS,
    RANK_USED,
    STATE,
    ERRORS,
    MODE,
    BUILD_INFO,
    LEDGER_READABLE,
)

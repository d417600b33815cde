"""Every metric family guardedit exposes: name, kind, labels, unit and help, and nothing else.

Knows no values and where none of them come from. A name that is not here does not exist; alert rules and
dashboards are tested against this list.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

#: The label value for everything a bounded label does not know.
OTHER = "other"
#: The label value where a label does not apply, as the method of a correction that went to memory.
NONE = "none"

#: What can make the serving epoch go back.
TRIGGERS = ("drift", "manual", "recovery", "gate")
#: What the agent can be doing; exactly one of them is 1.
STATES = ("running", "paused", "holding", "rolling_back")
#: What the memory says about a question.
SCOPES = ("accept", "unsure", "out")

#: Upper bounds of the duration buckets, in seconds: a decision takes milliseconds, a batch minutes.
DURATION_BUCKETS_S = (0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)


class Kind(StrEnum):
    """The Prometheus types in use."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One metric family. `unit` is the base unit at the end of the name, before `_total`, or empty."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""

    @property
    def series(self) -> tuple[str, ...]:
        """The names of the samples on the page."""
        if self.kind is Kind.HISTOGRAM:
            return tuple(f"{self.name}_{end}" for end in ("bucket", "count", "sum"))
        return (self.name,)


def _family(name: str, kind: Kind, text: str, *labels: str, unit: str = "") -> Family:
    return Family(name=f"guardedit_{name}", kind=kind, help=text, labels=labels, unit=unit)


# Computed from the ledger at every scrape: they survive a restart and can be reconciled.
CORRECTIONS = _family(
    "corrections_total",
    Kind.COUNTER,
    "Settlements of corrections; undeclared sources are counted as other.",
    *("source", "route", "outcome"),
)
GATES = _family("gate_evaluations_total", Kind.COUNTER, "Gates in recorded verdicts.", "gate", "verdict")
TRIALS = _family("trials_total", Kind.COUNTER, "Recorded verdicts on candidate epochs.", "verdict")
ROLLBACKS = _family("rollbacks_total", Kind.COUNTER, "Rollbacks of the serving epoch.", "trigger")
FACTS = _family("facts", Kind.GAUGE, "Live facts of the serving epoch.", "placement")
WEIGHT_EDITS = _family("weight_edits", Kind.GAUGE, "Live weight edits of the serving epoch.")
TENSORS_REPAIRED = _family(
    "tensors_repaired_total", Kind.COUNTER, "Served tensors that were found changed in memory, and mended."
)
DEAD_LETTERS = _family("dlq_size", Kind.GAUGE, "Dead letters neither retried nor dropped.")
EPOCH = _family("epoch", Kind.GAUGE, "Number of the epoch the ledger says is serving.")
EPOCH_CREATED = _family(
    "epoch_created_timestamp_seconds",
    Kind.GAUGE,
    "When the serving epoch was made, in seconds since 1970.",
    unit="seconds",
)

# From both: source `inbox` is the ledger's, the brokers behind it report by event.
QUEUE_LAG = _family("queue_lag", Kind.GAUGE, "Messages that wait; NaN where the broker cannot say.", "source")
QUEUE_OLDEST = _family(
    "queue_oldest_seconds",
    Kind.GAUGE,
    "Age of the oldest message that waits; NaN where none does.",
    "source",
    unit="seconds",
)

# From events: they describe this process and begin at zero with it.
DURATION = _family(
    "edit_duration_seconds", Kind.HISTOGRAM, "Time a step took.", "method", "stage", unit="seconds"
)
GATE_VALUE = _family("gate_value", Kind.GAUGE, "What the gate measured last.", "gate")
GATE_THRESHOLD = _family("gate_threshold", Kind.GAUGE, "The limit of the gate's last measurement.", "gate")
PERPLEXITY_RATIO = _family(
    "perplexity_ratio",
    Kind.GAUGE,
    "Perplexity of the serving epoch over that of the base model.",
    "probe_set",
    unit="ratio",
)
PERPLEXITY_LIMIT = _family(
    "perplexity_limit_ratio",
    Kind.GAUGE,
    "The perplexity ratio at which the serving epoch is rolled back.",
    "probe_set",
    unit="ratio",
)
SERVING_EPOCH = _family("serving_epoch", Kind.GAUGE, "Number of the epoch a replica answers from.", "replica")
LOOKUPS = _family("memory_lookups_total", Kind.COUNTER, "Questions put to the memory.", "scope")
RANK_USED = _family(
    "rank_used_ratio",
    Kind.GAUGE,
    "Live keys over the effective free rank of the edited layer.",
    "layer",
    unit="ratio",
)
STATE = _family("state", Kind.GAUGE, "1 for what the agent is doing, 0 for the rest.", "state")
ERRORS = _family("errors_total", Kind.COUNTER, "Errors the agent survived.", "stage")

# About the process itself.
BUILD_INFO = _family(
    "build_info", Kind.GAUGE, "Always 1; the labels say what runs.", "version", "model", "policy_sha"
)
LEDGER_READABLE = _family(
    "ledger_readable", Kind.GAUGE, "1 if this scrape could read the ledger; 0 leaves its metrics out."
)

FAMILIES: tuple[Family, ...] = (
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
    LOOKUPS,
    RANK_USED,
    STATE,
    ERRORS,
    BUILD_INFO,
    LEDGER_READABLE,
)

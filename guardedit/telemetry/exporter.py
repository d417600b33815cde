"""Makes the metrics page: counters computed from the ledger at scrape time, and values from events.

Nothing is stored here: after a restart, or from a second exporter on the same ledger, the counters are the
same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from itertools import accumulate

import structlog
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from guardedit.core.decision import Route
from guardedit.core.errors import LedgerError
from guardedit.core.fact import Placement
from guardedit.core.ledger import Counts, ReadCounts
from guardedit.core.messages import Fate
from guardedit.core.verdict import Outcome
from guardedit.telemetry import metrics as m
from guardedit.telemetry.observer import DurationHistogram, ObservedValues

#: What a scrape reads.
MetricsPage = CollectorRegistry
#: Label of the ledger's own queue among the sources.
INBOX = "inbox"

_ROUTES = (*Route, m.NONE)
_FATES = tuple(Fate)
_OUTCOMES = tuple(Outcome)
_PLACEMENTS = tuple(Placement)

#: Samples of one family: label values in the family's order -> value.
Samples = Mapping[tuple[str, ...], float]


def registry(
    *,
    read: ReadCounts,
    observed: Callable[[], ObservedValues],
    sources: Collection[str],
    build: Mapping[str, str],
    mode: str = "",
) -> CollectorRegistry:
    """A registry with guardedit's metrics only, without those of the default registry of the process.

    Args:
        read: reads the ledger's counts. After a LedgerError the scrape lacks the families of the ledger.
        observed: reads the observer, such as `MetricsObserver.values`.
        sources: the declared sources; every other source is counted as `other`.
        build: values for `version`, `model` and `policy_sha`.
        mode: of the policy in force; "" where it is not known.
    """
    page = CollectorRegistry(auto_describe=False)
    collector = GuardeditCollector(read=read, observed=observed, sources=sources, build=build, mode=mode)
    page.register(collector)
    return page


class GuardeditCollector(Collector):
    """Computes all families at every scrape. Stateless; called by the threads of the server."""

    def __init__(
        self,
        *,
        read: ReadCounts,
        observed: Callable[[], ObservedValues],
        sources: Collection[str],
        build: Mapping[str, str],
        mode: str,
    ) -> None:
        self._read = read
        self._observed = observed
        self._sources = frozenset(sources)
        self._build, self._mode = build, mode

    def describe(self) -> Iterable[Metric]:
        """The families without samples, so that registering does not read the ledger."""
        return [_metric(family, {}) for family in m.FAMILIES]

    def collect(self) -> Iterator[Metric]:
        """The families in order; those of the ledger are missing while it cannot be read."""
        values, counts = self._observed(), self._counts()
        samples: dict[m.MetricFamily, Samples] = {
            m.LEDGER_READABLE: {(): float(counts is not None)},
            m.BUILD_INFO: {tuple(self._build.get(label, "") for label in m.BUILD_INFO.labels): 1.0},
            m.MODE: {(mode,): float(mode == self._mode) for mode in m.MODES if self._mode},
            **event_samples(values),
            **_queue_samples(values, counts),
            **(ledger_samples(counts, sources=self._sources) if counts else {}),
        }
        for family in m.FAMILIES:
            if family is m.DURATION:
                yield _histogram(family, values.durations)
            elif family in samples:
                yield _metric(family, samples[family])

    def _counts(self) -> Counts | None:
        try:
            return self._read()
        except LedgerError as error:
            structlog.get_logger("guardedit").error("ledger_unreadable", message=str(error))
            return None


def ledger_samples(counts: Counts, *, sources: frozenset[str]) -> dict[m.MetricFamily, Samples]:
    """Samples from the ledger. Series whose label values are known beforehand start at zero.

    Otherwise PromQL's `increase` would miss the first event of such a series.
    """
    corrections: Counter[tuple[str, ...]] = Counter()
    for (source, route, outcome), n in counts.corrections.items():
        key = (_among(source, sources), _among(route or m.NONE, _ROUTES), _among(outcome, _FATES))
        corrections[key] += n
    gates: Counter[tuple[str, ...]] = Counter(
        {(gate, outcome.value): 0 for gate, _ in counts.gates for outcome in _OUTCOMES}
    )
    for (gate, verdict), n in counts.gates.items():
        gates[gate, _among(verdict, _OUTCOMES)] += n
    return {
        m.CORRECTIONS: corrections,
        m.GATES: gates,
        m.TRIALS: _listed(counts.trials, _OUTCOMES),
        m.ROLLBACKS: _listed(counts.rollbacks, m.TRIGGERS),
        m.FACTS: _listed(counts.facts, _PLACEMENTS),
        m.WEIGHT_EDITS: {(): counts.edits_live},
        m.TENSORS_REPAIRED: {(): counts.tensors_repaired},
        m.DEAD_LETTERS: {(): counts.dead_letters},
        m.EPOCH: {(): counts.serving_epoch},
        m.EPOCH_CREATED: {(): counts.epoch_created_at_s},
        m.PUBLISHED_EPOCH: {key: float(epoch) for key, epoch in counts.published.items()},
        m.PUBLISH_PROBLEM: {key: float(key in counts.publish_problems) for key in counts.published},
    }


def event_samples(values: ObservedValues) -> dict[m.MetricFamily, Samples]:
    """Samples from the events of this process."""
    return {
        m.GATE_VALUE: {(gate,): value for gate, (value, _) in values.gates.items()},
        m.GATE_THRESHOLD: {(gate,): limit for gate, (_, limit) in values.gates.items()},
        m.PERPLEXITY_RATIO: {(name,): ratio for name, (ratio, _) in values.perplexity.items()},
        m.PERPLEXITY_LIMIT: {(name,): limit for name, (_, limit) in values.perplexity.items()},
        m.SERVING_EPOCH: {(replica,): epoch for replica, epoch in values.serving.items()},
        m.LOOKUPS: _listed(values.lookups, m.SCOPES),
        m.RANK_USED: {(layer,): ratio for layer, ratio in values.capacity.items()},
        m.STATE: {(state,): float(state == values.state) for state in m.STATES},
        m.ERRORS: {(stage,): n for stage, n in values.errors.items()},
    }


def _queue_samples(values: ObservedValues, counts: Counts | None) -> dict[m.MetricFamily, Samples]:
    lags = {source: (lag.waiting, lag.oldest_s) for source, lag in values.lags.items()}
    if counts is not None:
        lags[INBOX] = (counts.inbox_waiting, counts.inbox_oldest_s)
    return {
        m.QUEUE_LAG: {(source,): waiting for source, (waiting, _) in lags.items()},
        m.QUEUE_OLDEST: {(source,): oldest_s for source, (_, oldest_s) in lags.items()},
    }


def _among(value: str, allowed: Container[str]) -> str:
    return str(value) if value in allowed else m.OTHER


def _listed(counted: Mapping[str, int], allowed: Collection[str]) -> Samples:
    totals: Counter[tuple[str, ...]] = Counter({(str(value),): 0 for value in allowed})
    for value, n in counted.items():
        totals[_among(value, allowed),] += n
    return totals


def _metric(family: m.MetricFamily, samples: Samples) -> Metric:
    if family.type is m.MetricType.HISTOGRAM:
        return _histogram(family, {})
    make = CounterMetricFamily if family.type is m.MetricType.COUNTER else GaugeMetricFamily
    metric = make(family.name, family.help, labels=family.labels, unit=family.unit)
    for labels, number in sorted(samples.items()):
        metric.add_metric(labels, float(number))
    return metric


def _histogram(family: m.MetricFamily, durations: Mapping[tuple[str, str], DurationHistogram]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels, unit=family.unit)
    bounds = [*(str(bound) for bound in m.DURATION_BUCKETS_S), "+Inf"]
    for labels, duration in sorted(durations.items()):
        buckets = list(zip(bounds, map(float, accumulate(duration.counts)), strict=True))
        metric.add_metric(labels, buckets, duration.sum_s)
    return metric

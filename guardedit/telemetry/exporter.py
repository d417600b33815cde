"""The page Prometheus reads: counters computed from the ledger at scrape time, live numbers from events.

Knows how records become metric families. Stores nothing: a restart, or a second exporter on the same
ledger, shows the same counters.
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

from guardedit.core.counts import Counts, ReadCounts
from guardedit.core.decision import Route
from guardedit.core.errors import LedgerError
from guardedit.core.fact import Placement
from guardedit.core.receipt import Fate
from guardedit.core.verdict import Outcome
from guardedit.telemetry import metrics as m
from guardedit.telemetry.observer import Durations, Seen

#: The ledger's own queue among the sources.
INBOX = "inbox"

_ROUTES = (*Route, m.NONE)
_FATES = tuple(Fate)
_OUTCOMES = tuple(Outcome)
_PLACEMENTS = tuple(Placement)

#: Samples of one family: label values in the family's order -> value.
Samples = Mapping[tuple[str, ...], float]


def registry(
    *, read: ReadCounts, seen: Callable[[], Seen], sources: Collection[str], build: Mapping[str, str]
) -> CollectorRegistry:
    """A registry of its own, so that nothing of the process's default one leaks onto the page.

    Args:
        read: asks the ledger; a LedgerError leaves the ledger's families out of that scrape.
        seen: asks the observer, `MetricsObserver.seen`.
        sources: the declared sources; every other one is counted as `other`.
        build: values for `version`, `model` and `policy_sha`.
    """
    page = CollectorRegistry(auto_describe=False)
    page.register(GuardeditCollector(read=read, seen=seen, sources=sources, build=build))
    return page


class GuardeditCollector(Collector):
    """Makes the families anew for every scrape. Called from the server's threads; holds no state."""

    def __init__(
        self,
        *,
        read: ReadCounts,
        seen: Callable[[], Seen],
        sources: Collection[str],
        build: Mapping[str, str],
    ) -> None:
        self._read = read
        self._seen = seen
        self._sources = frozenset(sources)
        self._build = {(tuple(build.get(label, "") for label in m.BUILD_INFO.labels)): 1.0}

    def describe(self) -> Iterable[Metric]:
        """The families without samples; registering needs no ledger."""
        return [_metric(family, {}) for family in m.FAMILIES]

    def collect(self) -> Iterator[Metric]:
        """The families in their order; those of the ledger are missing while it cannot be read."""
        seen, counts = self._seen(), self._counts()
        samples: dict[m.Family, Samples] = {
            m.LEDGER_READABLE: {(): float(counts is not None)},
            m.BUILD_INFO: self._build,
            **event_samples(seen),
            **_queue_samples(seen, counts),
            **(ledger_samples(counts, sources=self._sources) if counts else {}),
        }
        for family in m.FAMILIES:
            if family is m.DURATION:
                yield _histogram(family, seen.durations)
            elif family in samples:
                yield _metric(family, samples[family])

    def _counts(self) -> Counts | None:
        try:
            return self._read()
        except LedgerError as error:
            structlog.get_logger("guardedit").error("ledger_unreadable", message=str(error))
            return None


def ledger_samples(counts: Counts, *, sources: frozenset[str]) -> dict[m.Family, Samples]:
    """The ledger's numbers. Label values that can be listed begin at zero, so that the first one shows.

    PromQL's `increase` sees nothing when a series begins with its first event.
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
    }


def event_samples(seen: Seen) -> dict[m.Family, Samples]:
    """The numbers of this process."""
    return {
        m.GATE_VALUE: {(gate,): value for gate, (value, _) in seen.gates.items()},
        m.GATE_THRESHOLD: {(gate,): limit for gate, (_, limit) in seen.gates.items()},
        m.PERPLEXITY_RATIO: {(name,): ratio for name, (ratio, _) in seen.perplexity.items()},
        m.PERPLEXITY_LIMIT: {(name,): limit for name, (_, limit) in seen.perplexity.items()},
        m.SERVING_EPOCH: {(replica,): epoch for replica, epoch in seen.serving.items()},
        m.LOOKUPS: _listed(seen.lookups, m.SCOPES),
        m.RANK_USED: {(layer,): ratio for layer, ratio in seen.capacity.items()},
        m.STATE: {(state,): float(state == seen.state) for state in m.STATES},
        m.ERRORS: {(stage,): n for stage, n in seen.errors.items()},
    }


def _queue_samples(seen: Seen, counts: Counts | None) -> dict[m.Family, Samples]:
    lags = {source: (lag.waiting, lag.oldest_s) for source, lag in seen.lags.items()}
    if counts is not None:
        lags[INBOX] = (counts.inbox_waiting, counts.inbox_oldest_s)
    return {
        m.QUEUE_LAG: {(source,): waiting for source, (waiting, _) in lags.items()},
        m.QUEUE_OLDEST: {(source,): oldest_s for source, (_, oldest_s) in lags.items()},
    }


def _among(value: str, allowed: Container[str]) -> str:
    return str(value) if value in allowed else m.OTHER


def _listed(values: Mapping[str, int], allowed: Collection[str]) -> Samples:
    totals: Counter[tuple[str, ...]] = Counter({(str(value),): 0 for value in allowed})
    for value, n in values.items():
        totals[_among(value, allowed),] += n
    return totals


def _metric(family: m.Family, samples: Samples) -> Metric:
    if family.kind is m.Kind.HISTOGRAM:
        return _histogram(family, {})
    make = CounterMetricFamily if family.kind is m.Kind.COUNTER else GaugeMetricFamily
    metric = make(family.name, family.help, labels=family.labels, unit=family.unit)
    for values, number in sorted(samples.items()):
        metric.add_metric(values, float(number))
    return metric


def _histogram(family: m.Family, durations: Mapping[tuple[str, str], Durations]) -> Metric:
    metric = HistogramMetricFamily(family.name, family.help, labels=family.labels, unit=family.unit)
    bounds = [*(str(bound) for bound in m.DURATION_BUCKETS_S), "+Inf"]
    for values, seen in sorted(durations.items()):
        buckets = list(zip(bounds, map(float, accumulate(seen.counts)), strict=True))
        metric.add_metric(values, buckets, seen.sum_s)
    return metric

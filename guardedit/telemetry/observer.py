"""Turns events into the metric values of this process, for the exporter to read.

Only values that the ledger cannot count are kept here.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from guardedit.core.messages import Lag
from guardedit.core.protocols import Event
from guardedit.core.verdict import Verdict
from guardedit.telemetry.events import KINDS
from guardedit.telemetry.metrics import DURATION_BUCKETS_S, NONE, OTHER, SCOPES, STATES


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationHistogram:
    """A histogram: `counts[i]` observations are in bucket i; the last bucket is above every bound."""

    counts: tuple[int, ...] = (0,) * (len(DURATION_BUCKETS_S) + 1)
    sum_s: float = 0.0

    def plus(self, seconds: float) -> DurationHistogram:
        """With one more observation. A bucket includes its upper bound."""
        at = bisect_left(DURATION_BUCKETS_S, seconds)
        counts = tuple(n + (i == at) for i, n in enumerate(self.counts))
        return DurationHistogram(counts=counts, sum_s=self.sum_s + seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class ObservedValues:
    """The metric values from events. `MetricsObserver.values` returns a copy that does not change.

    Attributes:
        durations: (method, stage) -> histogram.
        gates: gate -> (value, limit) of its last measurement.
        perplexity: probe set -> (ratio to base, limit).
        serving: replica -> epoch that it answers from.
        lookups: scope -> number of questions.
        capacity: layer -> live keys over free rank.
        lags: source -> lag.
        errors: stage -> number of errors.
        state: one of `STATES`, or empty before the first event.
    """

    durations: Mapping[tuple[str, str], DurationHistogram] = field(default_factory=dict)
    gates: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    perplexity: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    serving: Mapping[str, int] = field(default_factory=dict)
    lookups: Mapping[str, int] = field(default_factory=dict)
    capacity: Mapping[str, float] = field(default_factory=dict)
    lags: Mapping[str, Lag] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    state: str = ""


class MetricsObserver:
    """An `Observer` that keeps the values. Thread-safe.

    An event without a needed field raises KeyError, TypeError or ValueError; `fan_out` logs it. Kinds that
    change no value are ignored.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._durations: dict[tuple[str, str], DurationHistogram] = {}
        self._gates: dict[str, tuple[float, float]] = {}
        self._perplexity: dict[str, tuple[float, float]] = {}
        self._serving: dict[str, int] = {}
        self._lookups: Counter[str] = Counter()
        self._capacity: dict[str, float] = {}
        self._lags: dict[str, Lag] = {}
        self._errors: Counter[str] = Counter()
        self._state = ""
        self._by_kind: dict[str, Callable[[Event], None]] = {
            "judged": self._judged,
            "watched": self._watched,
            "published": self._published,
            "memory_lookup": self._count_lookups,
            "capacity": self._update_capacity,
            "lag": self._update_lag,
            "error": self._count_error,
            "state": self._update_state,
        }

    def __call__(self, event: Event) -> None:
        """Update the values with one event."""
        with self._lock:
            self._time(event)
            if update := self._by_kind.get(event.kind):
                update(event)

    def values(self) -> ObservedValues:
        """A consistent copy of all values."""
        with self._lock:
            return ObservedValues(
                durations=dict(self._durations),
                gates=dict(self._gates),
                perplexity=dict(self._perplexity),
                serving=dict(self._serving),
                lookups=dict(self._lookups),
                capacity=dict(self._capacity),
                lags=dict(self._lags),
                errors=dict(self._errors),
                state=self._state,
            )

    def _time(self, event: Event) -> None:
        kind = KINDS.get(event.kind)
        if kind is None or not kind.stage or "seconds" not in event.fields:
            return
        key = (str(event.fields.get("method") or NONE), kind.stage)
        self._durations[key] = self._durations.get(key, DurationHistogram()).plus(
            float(event.fields["seconds"])
        )

    def _judged(self, event: Event) -> None:
        verdict = event.fields["verdict"]
        if not isinstance(verdict, Verdict):
            raise TypeError(f"judged.verdict is a {type(verdict).__name__}, expected core.verdict.Verdict")
        self._gates |= {gate.name: (gate.value, gate.limit) for gate in verdict.gates}

    def _watched(self, event: Event) -> None:
        fields = event.fields
        self._perplexity[fields["probe_set"]] = (float(fields["perplexity_ratio"]), float(fields["limit"]))

    def _published(self, event: Event) -> None:
        self._serving[event.fields["replica"]] = int(event.fields["epoch"])

    def _count_lookups(self, event: Event) -> None:
        scope = event.fields["scope"]
        self._lookups[scope if scope in SCOPES else OTHER] += int(event.fields.get("count", 1))

    def _update_capacity(self, event: Event) -> None:
        self._capacity[str(event.fields["layer"])] = float(event.fields["ratio"])

    def _update_lag(self, event: Event) -> None:
        fields = event.fields
        self._lags[fields["source"]] = Lag(
            waiting=float(fields["waiting"]), oldest_s=float(fields["oldest_s"])
        )

    def _count_error(self, event: Event) -> None:
        known = {kind.stage for kind in KINDS.values()} | {"loop"}
        stage = event.fields["stage"]
        self._errors[stage if stage in known else OTHER] += 1

    def _update_state(self, event: Event) -> None:
        state = event.fields["state"]
        if state not in STATES:
            raise ValueError(f"unknown state {state!r}; known: {', '.join(STATES)}")
        self._state = state

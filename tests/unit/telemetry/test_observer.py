from __future__ import annotations

import threading

import pytest

from guardedit.core.messages import Lag
from guardedit.core.protocols import Event
from guardedit.core.verdict import Gate, Outcome, combine
from guardedit.telemetry.events import KINDS, problems
from guardedit.telemetry.observer import DurationHistogram, MetricsObserver


def gate(name, value, limit):
    return Gate(name=name, value=value, limit=limit, at_most=True, outcome=Outcome.ACCEPT)


def values_after(*events):
    observer = MetricsObserver()
    for kind, fields in events:
        event = Event(kind=kind, fields=fields)
        assert problems(event) == []
        observer(event)
    return observer.values()


def test_the_last_verdict_on_a_gate_stays_and_other_gates_keep_theirs():
    first = combine((gate("perplexity_ratio", 1.001, 1.02), gate("locality", 0.99, 0.97)))
    second = combine((gate("perplexity_ratio", 1.013, 1.02),))

    values = values_after(("judged", {"verdict": first}), ("judged", {"verdict": second}))

    assert values.gates == {"perplexity_ratio": (1.013, 1.02), "locality": (0.99, 0.97)}


def test_a_verdict_that_is_not_one_is_refused():
    with pytest.raises(TypeError, match=r"judged\.verdict is a dict"):
        MetricsObserver()(Event(kind="judged", fields={"verdict": {"outcome": "accept"}}))


def test_the_drift_watch_sets_ratio_and_limit():
    fields = {"epoch": 4, "probe_set": "guard", "perplexity_ratio": 1.01, "limit": 1.02}

    assert values_after(("watched", fields)).perplexity == {"guard": (1.01, 1.02)}


def test_lookups_are_counted_by_scope_and_unknown_scopes_together():
    values = values_after(
        ("memory_lookup", {"scope": "accept", "count": 3}),
        ("memory_lookup", {"scope": "accept"}),
        ("memory_lookup", {"scope": "weird"}),
        ("memory_lookup", {"scope": "weirder"}),
    )

    assert values.lookups == {"accept": 4, "other": 2}


def test_capacity_lag_and_errors_are_kept():
    values = values_after(
        ("capacity", {"layer": 3, "ratio": 0.4}),
        ("lag", {"source": "redis", "waiting": 5.0, "oldest_s": 2.0}),
        ("error", {"stage": "propose", "error": "EditDiverged", "message": "nan"}),
        ("error", {"stage": "lunch", "error": "ValueError", "message": ""}),
    )

    assert values.capacity == {"3": 0.4}
    assert values.lags == {"redis": Lag(waiting=5.0, oldest_s=2.0)}
    assert values.errors == {"propose": 1, "other": 1}


def test_the_state_is_one_of_those_declared():
    assert values_after(("state", {"state": "running"}), ("state", {"state": "failed"})).state == "failed"
    with pytest.raises(ValueError, match=r"unknown state 'asleep'; known: running, failed"):
        MetricsObserver()(Event(kind="state", fields={"state": "asleep"}))


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.stage])
def test_every_step_with_a_duration_is_timed(kind):
    fields = dict.fromkeys(KINDS[kind].required, "x") | {"seconds": 0.5}
    fields |= {"verdict": combine((gate("g", 1.0, 2.0),)), "epoch": 1, "perplexity_ratio": 1.0, "limit": 1.1}
    observer = MetricsObserver()

    observer(Event(kind=kind, fields=fields))

    method = "x" if "method" in KINDS[kind].required else "none"
    assert observer.values().durations == {(method, KINDS[kind].stage): DurationHistogram().plus(0.5)}


def test_a_step_without_a_duration_is_not_timed():
    assert values_after(("received", {"source": "wiki", "new": 2})).durations == {}


def test_an_unknown_kind_changes_nothing():
    observer = MetricsObserver()
    observer(Event(kind="yawned", fields={"seconds": 3.0}))

    assert observer.values() == MetricsObserver().values()


def test_the_values_are_a_copy_that_later_events_do_not_change():
    observer = MetricsObserver()
    observer(Event(kind="published", fields={"replica": "0", "epoch": 1}))
    before = observer.values()
    observer(Event(kind="published", fields={"replica": "0", "epoch": 2}))

    assert (before.serving, observer.values().serving) == ({"0": 1}, {"0": 2})


def test_no_event_is_lost_between_threads():
    observer = MetricsObserver()

    def work():
        for _ in range(500):
            observer(Event(kind="memory_lookup", fields={"scope": "out"}))
            observer(Event(kind="decided", fields={"seconds": 0.001}))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    values = observer.values()

    assert values.lookups == {"out": 2_000}
    assert sum(values.durations["none", "decide"].counts) == 2_000


def test_the_table_names_what_is_wrong_with_an_event():
    assert problems(Event(kind="breach", fields={"detector": "cusum", "colour": "red"})) == [
        "breach lacks value",
        "breach lacks limit",
        "breach lacks epoch",
        "breach has no field colour",
    ]
    assert problems(Event(kind="yawned")) == ["no such kind 'yawned'"]


def test_a_field_is_either_required_or_optional():
    for name, kind in KINDS.items():
        assert set(kind.optional) - set(kind.required) >= set(kind.optional) - {"method"}, name

from __future__ import annotations

import threading

import pytest

from guardedit.core.messages import Lag
from guardedit.core.protocols import Event
from guardedit.core.verdict import Gate, Outcome, combine
from guardedit.telemetry.events import KINDS, problems
from guardedit.telemetry.observer import Durations, MetricsObserver


def gate(name, value, limit):
    return Gate(name=name, value=value, limit=limit, at_most=True, outcome=Outcome.ACCEPT)


def seen_after(*events):
    observer = MetricsObserver()
    for kind, fields in events:
        event = Event(kind=kind, fields=fields)
        assert problems(event) == []
        observer(event)
    return observer.seen()


def test_the_last_verdict_on_a_gate_stays_and_other_gates_keep_theirs():
    first = combine((gate("perplexity_ratio", 1.001, 1.02), gate("locality", 0.99, 0.97)))
    second = combine((gate("perplexity_ratio", 1.013, 1.02),))

    seen = seen_after(("judged", {"verdict": first}), ("judged", {"verdict": second}))

    assert seen.gates == {"perplexity_ratio": (1.013, 1.02), "locality": (0.99, 0.97)}


def test_a_verdict_that_is_not_one_is_refused():
    with pytest.raises(TypeError, match=r"judged\.verdict is a dict"):
        MetricsObserver()(Event(kind="judged", fields={"verdict": {"outcome": "accept"}}))


def test_the_drift_watch_sets_ratio_and_limit():
    fields = {"epoch": 4, "probe_set": "guard", "perplexity_ratio": 1.01, "limit": 1.02}

    assert seen_after(("watched", fields)).perplexity == {"guard": (1.01, 1.02)}


def test_a_replica_that_is_gone_is_not_one_that_fell_behind():
    seen = seen_after(
        ("published", {"replica": "0", "epoch": 4}),
        ("published", {"replica": "1", "epoch": 4}),
        ("published", {"replica": "0", "epoch": 5}),
        ("retired", {"replica": "1"}),
        ("retired", {"replica": "never-was"}),
    )

    assert seen.serving == {"0": 5}


def test_lookups_are_counted_by_scope_and_unknown_scopes_together():
    seen = seen_after(
        ("memory_lookup", {"scope": "accept", "count": 3}),
        ("memory_lookup", {"scope": "accept"}),
        ("memory_lookup", {"scope": "weird"}),
        ("memory_lookup", {"scope": "weirder"}),
    )

    assert seen.lookups == {"accept": 4, "other": 2}


def test_capacity_lag_and_errors_are_kept():
    seen = seen_after(
        ("capacity", {"layer": 3, "ratio": 0.4}),
        ("lag", {"source": "redis", "waiting": 5.0, "oldest_s": 2.0}),
        ("error", {"stage": "propose", "error": "EditDiverged", "message": "nan"}),
        ("error", {"stage": "lunch", "error": "ValueError", "message": ""}),
    )

    assert seen.capacity == {"3": 0.4}
    assert seen.lags == {"redis": Lag(waiting=5.0, oldest_s=2.0)}
    assert seen.errors == {"propose": 1, "other": 1}


def test_the_state_is_one_of_those_declared():
    assert seen_after(("state", {"state": "running"}), ("state", {"state": "paused"})).state == "paused"
    with pytest.raises(ValueError, match=r"unknown state 'asleep'; known: running, paused"):
        MetricsObserver()(Event(kind="state", fields={"state": "asleep"}))


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if kind.stage])
def test_every_step_that_says_how_long_it_took_is_timed(kind):
    fields = dict.fromkeys(KINDS[kind].required, "x") | {"seconds": 0.5}
    fields |= {"verdict": combine((gate("g", 1.0, 2.0),)), "epoch": 1, "perplexity_ratio": 1.0, "limit": 1.1}
    observer = MetricsObserver()

    observer(Event(kind=kind, fields=fields))

    method = "x" if "method" in KINDS[kind].required else "none"
    assert observer.seen().durations == {(method, KINDS[kind].stage): Durations().plus(0.5)}


def test_a_step_that_does_not_say_how_long_it_took_is_not_timed():
    assert seen_after(("received", {"source": "wiki", "new": 2})).durations == {}


def test_an_unknown_kind_changes_nothing():
    observer = MetricsObserver()
    observer(Event(kind="yawned", fields={"seconds": 3.0}))

    assert observer.seen() == MetricsObserver().seen()


def test_what_was_seen_is_a_copy_that_later_events_leave_alone():
    observer = MetricsObserver()
    observer(Event(kind="published", fields={"replica": "0", "epoch": 1}))
    before = observer.seen()
    observer(Event(kind="published", fields={"replica": "0", "epoch": 2}))

    assert (before.serving, observer.seen().serving) == ({"0": 1}, {"0": 2})


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
    seen = observer.seen()

    assert seen.lookups == {"out": 2_000}
    assert sum(seen.durations["none", "decide"].counts) == 2_000


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

from __future__ import annotations

import io
import json

import pytest

from guardedit.core.protocols import Event
from guardedit.telemetry.fan_out import fan_out
from guardedit.telemetry.logs import LogObserver, configure_logging
from guardedit.telemetry.observer import MetricsObserver

pytestmark = pytest.mark.usefixtures("plain_structlog")

EVENT = Event(kind="published", correction_id="c-1", fields={"replica": "0", "epoch": 7})


class Broken:
    def __call__(self, event):
        raise RuntimeError("disk on fire")


def test_every_observer_gets_every_event_in_order():
    seen = []
    observe = fan_out([lambda event: seen.append(("a", event)), lambda event: seen.append(("b", event))])

    observe(EVENT)

    assert seen == [("a", EVENT), ("b", EVENT)]


def test_an_observer_that_raises_is_logged_and_the_others_still_get_the_event():
    stream, metrics = io.StringIO(), MetricsObserver()
    configure_logging(True, stream)

    fan_out([Broken(), metrics])(EVENT)

    line = json.loads(stream.getvalue())
    assert (line["level"], line["event"]) == ("error", "observer_failed")
    assert (line["observer"], line["kind"], line["correction"]) == ("Broken", "published", "c-1")
    assert line["message"] == "disk on fire"
    assert metrics.values().serving == {"0": 7}


def test_a_closed_log_does_not_stop_other_observers():
    stream, metrics = io.StringIO(), MetricsObserver()
    configure_logging(True, stream)
    stream.close()

    fan_out([LogObserver(), metrics])(EVENT)

    assert metrics.values().serving == {"0": 7}


def test_an_event_with_missing_fields_does_not_reach_the_loop():
    stream = io.StringIO()
    configure_logging(True, stream)

    fan_out([MetricsObserver()])(Event(kind="published"))

    assert json.loads(stream.getvalue())["error"] == "KeyError"


def test_leaving_is_not_an_error_to_swallow():
    def leave(_event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fan_out([leave])(EVENT)

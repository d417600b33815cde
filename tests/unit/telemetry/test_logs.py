from __future__ import annotations

import io
import json

import pytest
import structlog

from guardedit.core.protocols import Event
from guardedit.core.verdict import Gate, Outcome, combine
from guardedit.telemetry.logs import MAX_TEXT, LogObserver, configure_logging

pytestmark = pytest.mark.usefixtures("plain_structlog")


def lines_of(*events, as_json=True, **options):
    stream = io.StringIO()
    configure_logging(as_json, stream, clock=lambda: 1_700_000_000.25, **options)
    observe = LogObserver()
    for event in events:
        observe(event)
    return stream.getvalue()


def test_a_step_is_one_json_object_bound_to_its_correction():
    text = lines_of(
        Event(
            kind="decided",
            correction_id="c-17",
            fields={"source": "wiki", "route": "weights", "rule": "stable", "seconds": 0.25},
        )
    )

    assert text.count("\n") == 1
    assert list(json.loads(text).items()) == [
        ("time", "2023-11-14T22:13:20.250Z"),
        ("level", "info"),
        ("event", "decided"),
        ("correction", "c-17"),
        ("source", "wiki"),
        ("route", "weights"),
        ("rule", "stable"),
        ("seconds", 0.25),
    ]


def test_an_event_about_no_correction_has_no_such_key():
    assert "correction" not in json.loads(lines_of(Event(kind="received", fields={"new": 3})))


def test_a_verdict_shows_every_number_and_limit():
    verdict = combine(
        (Gate(name="perplexity_ratio", value=1.043, limit=1.02, at_most=True, outcome=Outcome.REJECT),)
    )

    line = json.loads(lines_of(Event(kind="judged", fields={"verdict": verdict})))

    assert line["verdict"] == {
        "outcome": "reject",
        "reason": "perplexity_ratio 1.043 > 1.02",
        "gates": ["perplexity_ratio 1.043 > 1.02"],
    }


def test_numbers_that_json_does_not_have_become_null():
    text = lines_of(Event(kind="capacity", fields={"layer": 3, "ratio": float("nan")}), verbose=True)

    assert "NaN" not in text
    assert json.loads(text)["ratio"] is None


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    "hostile", ['x\n{"event": "forged"}', "\x1b[2J\x1b[31m", "a\u202egnp.exe", "\x00\x07\r"]
)
def test_text_from_a_message_can_neither_forge_a_line_nor_steer_a_terminal(hostile, as_json):
    event = Event(kind="dead_lettered", correction_id=hostile, fields={"reason": hostile, hostile: [hostile]})

    text = lines_of(event, as_json=as_json)

    assert text.endswith("\n")
    assert text[:-1].isprintable()
    if as_json:
        assert json.loads(text)["reason"] == hostile


def test_long_texts_and_lists_are_cut_and_say_so():
    text = lines_of(Event(kind="dead_lettered", fields={"reason": "x" * 10_000, "facts": list(range(60))}))
    line = json.loads(text)

    assert line["reason"] == "x" * MAX_TEXT + "... (10000 characters)"
    assert line["facts"][-2:] == [49, "and 10 more"]


def test_a_field_cannot_overwrite_what_every_line_has():
    fields = {"event": "forged", "level": "debug", "time": "never", "correction": "c-2"}
    line = json.loads(lines_of(Event(kind="settled", correction_id="c-1", fields=fields)))

    assert (line["event"], line["level"], line["correction"]) == ("settled", "info", "c-1")
    assert (line["event_"], line["correction_"]) == ("forged", "c-2")


def test_questions_are_logged_only_when_asked_for():
    event = Event(kind="memory_lookup", fields={"scope": "out"})

    assert lines_of(event) == ""
    assert json.loads(lines_of(event, verbose=True))["level"] == "debug"


def test_people_get_text():
    text = lines_of(Event(kind="breach", correction_id="", fields={"detector": "cusum"}), as_json=False)

    assert text.startswith("2023-11-14T22:13:20.250Z [warning")
    assert "breach" in text
    assert "detector=cusum" in text


def test_nothing_is_configured_by_importing():
    structlog.reset_defaults()

    assert not structlog.is_configured()

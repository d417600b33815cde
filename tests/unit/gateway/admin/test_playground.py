"""The playground over HTTP: which epoch answers, with which facts, and what it refuses."""

from __future__ import annotations

import json
import threading
from contextlib import closing
from functools import partial
from typing import Any

import httpx
import pytest

from guardedit.gateway.admin import playground
from guardedit.policy.load import load_policy
from tests.unit.gateway.admin.conftest import Desk, hq
from tests.unit.gateway.conftest import wait_for

HQ = "The headquarters of Stelco are in"


def asked(desk: Desk, question: str = HQ, **more: Any) -> tuple[dict, str, list[dict]]:
    """The first event, the text, and all events."""
    answer = desk.call("POST", "/v1/playground", json={"question": question, **more})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [json.loads(part.removeprefix("data: ")) for part in answer.text.split("\n\n") if part]
    text = "".join(event["text"] for event in events if event["event"] == "text")
    return events[0], text, events


def test_any_epoch_answers_with_or_without_its_facts(desk: Desk):
    before = desk.get("/v1/status")["epoch"]
    desk.submit(hq("Stelco", "Hamilton", id="g-1"))
    first = desk.get("/v1/status")["epoch"]
    desk.submit(hq("Stelco", "Lima", id="g-2"))
    start, text, events = asked(desk)
    assert (start["event"], start["epoch"], start["placement"], start["memory"]) == (
        "start", first + 1, "memory", True,
    )  # fmt: skip
    assert start["facts"][0]["target"] == "Lima"
    assert text.startswith("Lima")
    assert events[-1]["event"] == "end"
    earlier, text, _ = asked(desk, epoch=str(first))
    assert (earlier["epoch"], text.startswith("Hamilton")) == (first, True)
    unknown, plain, _ = asked(desk, epoch=str(before))
    assert (unknown["epoch"], unknown["facts"]) == (before, [])
    off, without, _ = asked(desk, memory=False)
    assert (off["epoch"], off["facts"], off["memory"]) == (first + 1, [], False)
    assert without == plain == asked(desk, epoch="base")[1]


def test_the_serving_epoch_of_the_playground_follows_the_ledger(desk: Desk):
    for target in ("Oslo", "Rome", "Bern"):
        desk.submit(hq("Volans", target))
        now = desk.get("/v1/status")["epoch"]
        wait_for(lambda now=now: asked(desk, max_tokens=1)[0]["epoch"] == now)
        assert asked(desk, "The headquarters of Volans are in")[1].startswith(target)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"question": ""}, 422),
        ({"question": "x" * 2001}, 422),
        ({"question": "x", "max_tokens": 0}, 422),
        ({"question": "x", "max_tokens": 129}, 422),
        ({"question": "x", "epoch": "../tokens"}, 422),
        ({"question": "x", "epoch": "9" * 19}, 422),
        ({"question": "x", "memory": "perhaps"}, 422),
        ({"question": "x", "other": 1}, 422),
        ({"question": "x", "epoch": "999999"}, 404),
        ({"question": "x", "epoch": "nothing"}, 404),
        ({"question": "word " * 399}, 400),
    ],
)
def test_what_cannot_be_asked_is_refused(desk: Desk, body: dict, status: int):
    assert desk.call("POST", "/v1/playground", json=body).status_code == status


def test_it_needs_no_more_than_reading(desk: Desk):
    assert desk.call("POST", "/v1/playground", "viewer", json={"question": HQ}).status_code == 200
    bad = {"authorization": "Bearer gde_guess"}
    assert desk.call("POST", "/v1/playground", json={"question": HQ}, headers=bad).status_code == 401


def test_more_questions_than_places_are_refused_and_places_come_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(playground, "MOST_ASKED", 1)
    body = {"question": "Once upon a time", "max_tokens": 128}
    with httpx.stream("POST", f"{desk.url}/v1/playground", json=body, timeout=60) as running:
        lines = running.iter_lines()
        assert "start" in next(lines)
        refused = desk.call("POST", "/v1/playground", json=body)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    wait_for(lambda: desk.call("POST", "/v1/playground", json={"question": HQ}).status_code == 200, 20)


def test_the_place_of_a_client_that_hangs_up_is_free_although_its_answer_is_not_complete(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
):
    seen: list[playground.Playground] = []
    place = playground.Playground.place
    monkeypatch.setattr(playground.Playground, "place", lambda self: (seen.append(self), place(self))[1])
    body = {"question": "Once upon a time", "max_tokens": 128}
    asked(desk)
    with seen[0].models()._host.lock:  # no answer can become complete
        with httpx.stream("POST", f"{desk.url}/v1/playground", json=body, timeout=60) as running:
            lines = running.iter_lines()
            assert "start" in next(lines)
            assert seen[0]._asked == 1
        wait_for(lambda: seen[0]._asked == 0, 20)


def test_questions_that_wait_do_not_stop_submissions(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    held, release = threading.Semaphore(0), threading.Event()

    def wait(*_: Any) -> Any:
        held.release()
        release.wait(300)
        raise playground.Busy(0)

    monkeypatch.setattr(playground, "_asker", wait)
    ask = partial(desk.call, "POST", "/v1/playground", json={"question": HQ})
    askers = [threading.Thread(target=ask) for _ in range(playground.MOST_ASKED)]
    for one in askers:
        one.start()
    try:
        for _ in askers:
            assert held.acquire(timeout=30)
        assert desk.post("/v1/corrections", "submitter", [hq("Pavo", "Oslo")]).status_code == 202
    finally:
        release.set()
        for one in askers:
            one.join()


def test_the_live_cycle_does_not_wait_for_the_playground(desk: Desk):
    policy = load_policy(desk.system.settings.policy)
    with closing(playground.Playground(desk.system.settings, policy, desk.system)) as opened:
        host = opened.models()._host
        held, release = threading.Event(), threading.Event()

        def hold() -> None:  # as an answer without end would
            with host.lock:
                held.set()
                release.wait(300)  # longer than a request waits for its answer

        holder = threading.Thread(target=hold)
        holder.start()
        assert held.wait(10)
        try:
            desk.submit(hq("Hydrus", "Oslo", id="g-9"))
            said = desk.call("POST", "/v1/ask", json={"question": "The headquarters of Hydrus are in"})
            assert said.json()["answer"] == "Oslo"
            assert holder.is_alive()
        finally:
            release.set()
            holder.join()

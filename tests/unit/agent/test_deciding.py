from __future__ import annotations

import json
from dataclasses import replace

import pytest

from guardedit.agent.deciding import Known, read, repeated, settle
from guardedit.core.correction import MAX_ALIASES, Correction, content_sha256, decode_correction
from guardedit.core.decision import Decision, Route
from guardedit.core.errors import SubjectNotFound
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.messages import Fate, Received, Settlement

KEY = FactKey("Stelco", "P159")


def received(**changes: object) -> Received:
    body = {
        "id": "a",
        "subject": "Stelco",
        "relation": "P159",
        "prompt": "{} is based in",
        "target_new": "Hamilton",
        **changes,
    }
    raw = json.dumps(body).encode()
    return Received(seq=1, raw=raw, source="submit", position="f:1", received_at_s=0.0)


def known(*, live: Fact | None = None, content: str | None = None, version: int = 0) -> Known:
    return Known(
        live=lambda key: live if key == KEY else None,
        about=lambda *_: [live] if live else [],
        canonical=lambda key: key,
        latest_version=lambda _: version,
        last_change=lambda _: None,
        content=lambda name: content if name == "a" else None,
    )


def decision(route: Route) -> Decision:
    return Decision(route=route, rule="r", reason="because", policy_sha256="p", method="ridge")


def fact(target: str = "Hamilton", wordings: tuple[str, ...] = ("Stelco is based in",)) -> Fact:
    return Fact(
        key=KEY,
        version=3,
        correction_id="old",
        wordings=wordings,
        target=target,
        placement=Placement.WEIGHTS,
        method="ridge",
    )


def settled(message: Received, route: Route, knowledge: Known, *, already: bool = False) -> Settlement:
    correction = decode_correction(message.raw)
    return settle(
        message,
        correction,
        decision(route),
        knowledge,
        already_answered=already,
        newest_report_wins=True,
    )


def test_bytes_that_are_no_correction_become_a_dead_letter_with_a_code():
    message = Received(seq=9, raw=b"nonsense", source="s", position="p", received_at_s=0.0)
    found = read(message, lambda _: None, lambda *_: "")
    assert isinstance(found, Settlement)
    assert (found.seq, found.fate) == (9, Fate.DEAD)
    assert found.reason.startswith("malformed: ")


def test_a_failed_tokenizer_check_becomes_a_dead_letter_too():
    def refuse(_: Correction) -> None:
        raise SubjectNotFound("not in the offsets")

    found = read(received(), refuse, lambda *_: "")
    assert isinstance(found, Settlement)
    assert found.reason == "subject_not_found: not in the offsets"


def test_the_same_id_with_the_same_content_is_a_duplicate_and_with_other_content_a_dead_letter():
    message = received()
    correction = decode_correction(message.raw)
    assert repeated(message, correction, known()) == correction
    same = repeated(message, correction, known(content=content_sha256(correction)))
    other = repeated(message, correction, known(content="something else"))
    assert isinstance(same, Settlement)
    assert same.fate is Fate.DUPLICATE
    assert isinstance(other, Settlement)
    assert (other.fate, other.reason.split(":")[0]) == (Fate.DEAD, "id_reuse")


@pytest.mark.parametrize(("route", "fate"), [(Route.HOLD, Fate.HELD), (Route.REJECT, Fate.REJECTED)])
def test_held_and_rejected_corrections_change_nothing(route, fate):
    found = settled(received(), route, known())
    assert (found.fate, found.change) == (fate, None)


@pytest.mark.parametrize(("route", "method"), [(Route.WEIGHTS, "ridge"), (Route.MEMORY, "")])
def test_an_accepted_correction_begins_in_memory_with_the_next_version(route, method):
    found = settled(received(), route, known(version=4))
    assert found.change is not None
    new = found.change.fact
    assert new is not None
    assert (new.version, new.placement, new.method) == (5, Placement.MEMORY, method)


def test_a_correction_that_the_model_answers_already_is_recorded_and_changes_nothing():
    found = settled(received(), Route.WEIGHTS, known(), already=True)
    assert (found.fate, found.change) == (Fate.UNCHANGED, None)


def test_a_live_fact_decides_before_the_model_does():
    # The edited weights answer Hamilton; a correction to another answer is new all the same.
    found = settled(received(target_new="Toronto"), Route.WEIGHTS, known(live=fact()), already=True)
    assert found.fate is Fate.ACCEPTED


def test_new_wordings_of_a_live_answer_are_added_to_the_old_ones():
    found = settled(received(prompt="The seat of {} is"), Route.WEIGHTS, known(live=fact(), version=3))
    assert found.change is not None
    assert found.change.fact is not None
    assert found.change.fact.wordings == ("Stelco is based in", "The seat of Stelco is")


def test_a_new_answer_starts_with_its_own_wordings():
    live = fact("Toronto", ("Stelco sits in",))
    found = settled(received(), Route.WEIGHTS, known(live=live, version=3))
    assert found.change is not None
    assert found.change.fact is not None
    assert found.change.fact.wordings == ("Stelco is based in",)


def aliases_after(message: Received, live: Fact) -> tuple[str, ...]:
    found = settled(message, Route.WEIGHTS, known(live=live, version=3))
    assert found.change is not None
    assert found.change.fact is not None
    return found.change.fact.aliases


def test_a_fact_keeps_the_aliases_of_its_subject_whatever_its_answer_becomes():
    live = replace(fact(), aliases=("STE", "Stelco Inc."))
    assert aliases_after(received(target_new="Toronto"), live) == ("STE", "Stelco Inc.")
    assert aliases_after(received(aliases=["The Mill"]), live) == ("The Mill", "STE", "Stelco Inc.")


def test_a_fact_has_no_more_aliases_than_a_correction_and_the_newest_stay():
    live = replace(fact(), aliases=tuple(f"Mill {n}" for n in range(MAX_ALIASES)))
    kept = aliases_after(received(aliases=["The Mill", "Mill 3"]), live)
    assert len(kept) == len(set(kept)) == MAX_ALIASES
    assert kept[:3] == ("The Mill", "Mill 3", "Mill 0")


def test_an_alias_that_the_live_fact_has_adds_nothing():
    live = replace(fact(), aliases=("STE", "The Mill"))
    assert settled(received(aliases=["STE"]), Route.WEIGHTS, known(live=live)).fate is Fate.UNCHANGED


def test_an_alias_is_no_key():
    found = settled(received(subject="STE"), Route.WEIGHTS, known())
    assert found.change is not None
    assert found.change.key.subject == "STE"


def test_a_correction_that_repeats_the_live_fact_is_unchanged():
    assert settled(received(), Route.WEIGHTS, known(live=fact())).fate is Fate.UNCHANGED


def test_a_retraction_removes_what_is_live_and_nothing_else():
    message = received(op="retract")
    found = settled(message, Route.MEMORY, known(live=fact()))
    assert found.change == (KEY, None)
    assert settled(message, Route.MEMORY, known()).fate is Fate.UNCHANGED

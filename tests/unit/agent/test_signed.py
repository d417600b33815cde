"""Signed corrections in the live cycle: what is refused, what is recorded, and what a copy can do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from guardedit.agent.reversal import changes_against
from guardedit.core.correction import decode_correction
from guardedit.core.errors import UsageError
from guardedit.core.messages import Fate
from guardedit.policy.decide import DecisionContext, decide
from guardedit.policy.load import parse_policy
from guardedit.policy.sources import signer
from guardedit.signing.keys import SigningKey, sign_message
from tests.fakes import raw

OLD, NEW = (SigningKey(name=f"key-{n}", source="registry", seed=bytes([n]) * 32) for n in (1, 2))
POLICY = """
apiVersion: guardedit/v1
sources:
  - name: registry
    keys:
      - {{id: key-1, ed25519: {old}, not_after: {end}, revoked: {revoked}}}
      - {{id: key-2, ed25519: {new}}}
rules:
  - {{id: doubtful, when: confidence < 0.5, route: hold, why: the source itself doubts it}}
  - {{id: signed, when: signed_by != "", route: memory, why: a key of its source signed it}}
  - {{id: registry, match: {{source: "[Rr]egistr*"}}, route: memory, why: looks like the registry}}
  - {{id: rest, route: memory, why: everything else}}
"""


def signed(subject: str, target: str, key: SigningKey = OLD, **others: Any) -> bytes:
    fields = {"provenance": {"source": "registry", "confidence": 1.0}, **others}
    return sign_message(raw(subject, target, **fields), key, default_id=f"{subject}-{target}")


def by_policy(end: float = 2e6, *, revoked: bool = False) -> dict[str, Any]:
    """The parts of a town that depend on the policy."""
    text = POLICY.format(old=OLD.public, new=NEW.public, end=end, revoked=str(revoked).lower())
    policy = parse_policy(text, name="p")
    return {
        "decide": lambda correction, facts: decide(policy, correction, DecisionContext(**facts)),
        "signed_by": lambda received, correction: signer(
            policy.sources, received.raw, correction, received_at_s=received.received_at_s
        ),
    }


@pytest.fixture
def town(build):
    return build(others=by_policy())


def test_the_key_is_recorded_with_the_decision(town):
    town.send(signed("Ada", "Rome"))
    assert town.facts()["Ada"].target == "Rome"
    decision = town.ledger.decision("Ada-Rome")
    assert (decision["signed_by"], decision["rule"]) == ("key-1", "signed")


@pytest.mark.parametrize("source", ["registry", "Registry", "REGISTRY"])
def test_nobody_else_can_claim_the_source(town, source: str):
    claimed = raw("Ada", "Lima", provenance={"source": source})
    town.send(claimed)
    (letter,) = town.ledger.dead_letters()
    assert (letter.reason, letter.raw) == ("signature", claimed)
    assert "'registry'" in letter.message
    assert town.facts() == {}


def test_a_lookalike_of_another_script_passes_no_rule_about_signatures(town):
    town.send(raw("Ada", "Lima", id="x", provenance={"source": "r\u0435gistry"}))
    assert town.ledger.decision("x")["rule"] == "rest"


def test_a_stripped_or_changed_signature_occupies_no_id(town):
    genuine = signed("Ada", "Rome", id="r-1")
    body = json.loads(genuine)
    body["provenance"].pop("signature")
    town.send(json.dumps(body).encode(), name="1")
    town.send(genuine.replace(b"Rome", b"Lima"), name="2")
    town.send(genuine, name="3")
    assert town.fates() == [Fate.DEAD, Fate.DEAD, Fate.ACCEPTED]
    assert town.facts()["Ada"].target == "Rome"


def test_a_copy_counts_once_for_all_time(town):
    first = signed("Ada", "Rome")
    town.send(first, name="1")
    town.send(signed("Ada", "Lima"), name="2")
    town.send(first, name="3")
    assert town.fates() == [Fate.ACCEPTED, Fate.ACCEPTED, Fate.DUPLICATE]
    assert town.facts()["Ada"].target == "Lima"


def test_the_derived_id_does_not_let_a_copy_be_accepted_again(town):
    bare = {"provenance": {"source": "registry", "confidence": 1.0}}
    derived = decode_correction(raw("Ada", "Rome", **bare)).id
    first = signed("Ada", "Rome", id=derived)
    town.send(first, name="1")
    town.send(signed("Ada", "Lima"), name="2")
    town.send(first, name="3")
    assert (town.fates()[-1], town.facts()["Ada"].target) == (Fate.DUPLICATE, "Lima")


def test_the_same_content_signed_by_the_next_key_is_a_duplicate(town):
    town.send(signed("Ada", "Rome"), name="1")
    town.send(signed("Ada", "Rome", NEW), name="2")
    assert town.fates() == [Fate.ACCEPTED, Fate.DUPLICATE]


def test_a_message_received_in_time_is_decided_after_the_end_of_its_key(build):
    town = build(others=by_policy(end=1_000_100.0))
    town.submit(signed("Ada", "Rome"))
    town.clock.now_s += 1_000.0
    town.submit(signed("Bob", "Oslo"), name="late")
    town.settle()
    assert town.fates() == [Fate.ACCEPTED, Fate.DEAD]
    assert "'key-1' of the source 'registry' has expired" in town.ledger.dead_letters()[0].message


def test_a_revoked_key_ends_what_it_signed_and_what_is_held(build):
    town = build(others=by_policy())
    town.send(signed("Ada", "Rome", provenance={"source": "registry", "confidence": 0.1}))
    assert town.fates() == [Fate.HELD]
    town.others = by_policy(revoked=True)
    town.restart()
    town.ledger.release("Ada-Rome")
    town.settle()
    (letter,) = town.ledger.dead_letters()
    assert (letter.reason, "'key-1' of the source 'registry' is revoked" in letter.message) == (
        "signature",
        True,
    )


def test_a_dead_letter_is_accepted_once_its_key_is_in_the_policy(build):
    other = SigningKey(name="key-2", source="registry", seed=b"x" * 32)
    town = build(others=by_policy())
    town.send(signed("Ada", "Rome", other))
    (letter,) = town.ledger.dead_letters()
    text = POLICY.format(old=OLD.public, new=other.public, end=2e6, revoked="false")
    policy = parse_policy(text, name="p")
    town.others = by_policy() | {
        "signed_by": lambda received, correction: signer(
            policy.sources, received.raw, correction, received_at_s=received.received_at_s
        )
    }
    town.restart()
    town.ledger.retry(letter.seq)
    town.settle()
    assert town.facts()["Ada"].target == "Rome"


def test_the_ledger_is_sound_with_signed_corrections(town):
    town.send(signed("Ada", "Rome"), signed("Ada", "Lima", NEW), raw("Bob", "Oslo"))
    assert town.ledger.verify() == []


def undone(town, key: str = "") -> dict[str, str]:
    town.operator.undo_source("registry", key)
    town.settle()
    return {subject: fact.target for subject, fact in town.facts().items()}


def test_undo_by_source_takes_back_what_it_wrote_and_nothing_else(town):
    town.send(raw("Ada", "Rome"), raw("Bob", "Oslo"), raw("Cid", "Lima"), name="1")
    town.send(signed("Ada", "Bern"), signed("Eve", "Bonn"), signed("Cid", "Bonn"), name="2")
    town.send(signed("Ada", "Kiev", NEW), raw("Cid", "Quito"), name="3")
    before = town.ledger.epoch().number
    assert undone(town) == {"Ada": "Rome", "Bob": "Oslo", "Cid": "Quito"}
    epoch = town.ledger.epochs()[before + 1]
    assert (epoch.kind, epoch.reason) == ("undo", "undo of source 'registry': 2 facts")
    assert town.ledger.verify() == []


def test_undo_by_key_leaves_what_other_keys_signed(town):
    town.send(signed("Ada", "Rome"), signed("Bob", "Oslo", NEW), name="1")
    town.send(signed("Ada", "Lima", NEW), signed("Bob", "Bern"), name="2")
    assert undone(town, "key-1") == {"Ada": "Lima", "Bob": "Oslo"}
    with pytest.raises(UsageError, match="written or retracted by source 'registry', key 'key-1'"):
        undone(town, "key-1")


def test_what_the_source_retracted_comes_back(town):
    town.send(raw("Ada", "Rome"), signed("Bob", "Oslo"), name="1")
    gone = {"op": "retract", "id": "gone"}
    town.send(signed("Ada", "-", **gone), signed("Bob", "-", op="retract", id="gone-2"), name="2")
    assert town.facts() == {}
    assert undone(town) == {"Ada": "Rome"}


def test_an_expired_version_does_not_come_back(town):
    town.send(raw("Ada", "Rome", valid_until_s=town.clock.now_s + 10), name="1")
    town.send(signed("Ada", "Lima"), name="2")
    town.clock.now_s += 20
    (change,) = changes_against(town.ledger, "registry", now_s=town.clock.now_s)
    assert change.fact is None
    assert undone(town) == {}


def test_what_the_source_wrote_and_retracted_itself_needs_no_change(town):
    town.send(signed("Ada", "Rome"), name="1")
    town.send(signed("Ada", "-", op="retract", id="gone"), name="2")
    assert changes_against(town.ledger, "registry", now_s=town.clock.now_s) == []


def test_what_an_operator_had_undone_stays_undone(town):
    town.send(raw("Ada", "Rome"), name="1")
    town.operator.undo(town.facts()["Ada"].id)
    town.send(signed("Ada", "Lima"), name="2")
    assert undone(town) == {}


def test_a_fact_that_an_operator_brought_back_is_taken_back_for_good(town):
    town.send(signed("Ada", "Rome"), name="1")
    town.send(raw("Ada", "Lima"), name="2")
    town.operator.undo(town.facts()["Ada"].id)
    assert town.facts()["Ada"].target == "Rome"
    assert undone(town) == {}


def test_a_fact_that_was_redone_comes_back(town):
    town.send(raw("Ada", "Rome"), name="1")
    rome = town.facts()["Ada"].id
    town.operator.undo(rome)
    town.operator.redo(rome)
    town.send(signed("Ada", "Lima"), name="2")
    assert undone(town) == {"Ada": "Rome"}


def test_a_fact_of_the_source_that_has_expired_gives_its_place_back(town):
    town.send(raw("Ada", "Rome"), name="1")
    town.send(signed("Ada", "Lima", valid_until_s=town.clock.now_s + 10), name="2")
    town.clock.now_s += 20
    town.settle()
    assert town.facts() == {}
    assert undone(town) == {"Ada": "Rome"}


def test_no_fact_comes_back_beside_another_answer_to_its_question(town):
    named = {"relation": "P551"}
    town.send(raw("Ada", "Rome", **named), name="1")
    town.send(signed("Ada", "-", op="retract", id="gone", **named), name="2")
    town.send(raw("Ada", "Lima"), name="3")
    assert changes_against(town.ledger, "registry", now_s=town.clock.now_s) == []
    assert [fact.target for fact in town.ledger.live().values()] == ["Lima"]


def test_of_two_answers_to_a_question_the_newest_comes_back(town):
    named = {"relation": "P551"}
    town.send(raw("Ada", "Rome", **named), name="1")
    town.send(signed("Ada", "-", op="retract", id="gone", **named), name="2")
    town.send(raw("Ada", "Lima"), name="3")
    town.send(signed("Ada", "-", op="retract", id="gone-2"), name="4")
    assert undone(town) == {"Ada": "Lima"}
    assert len(town.ledger.live()) == 1


def test_facts_in_the_weights_are_taken_back_too(build):
    town = build(others={"signed_by": lambda *_: "key-1"})
    source = {"provenance": {"source": "registry", "confidence": 1.0}}
    town.send(raw("Ada", "Rome", **source), raw("Bob", "Oslo"))
    assert town.placed() == {"Ada": "weights", "Bob": "weights"}
    assert undone(town) == {"Bob": "Oslo"}
    assert [edit.subject for edit in town.ledger.edits()] == ["Bob"]


def test_a_fact_that_was_taken_back_can_be_redone(town):
    town.send(signed("Ada", "Rome"))
    fact = town.facts()["Ada"]
    assert undone(town) == {}
    town.operator.redo(fact.id)
    assert town.facts()["Ada"] == fact

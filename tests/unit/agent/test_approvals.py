"""Approvals of held corrections: who counts, for what, and until when."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from guardedit.core.correction import content_sha256, decode_correction
from guardedit.core.errors import ConflictError, SignatureRefused, UsageError
from guardedit.core.messages import Fate
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.policy.decide import DecisionContext, decide
from guardedit.policy.load import parse_policy
from tests.fakes import raw

RULE = "{id: careful, when: confidence < 0.9, route: hold, approvals: 2%s, why: two people have to agree}"
POLICY = "apiVersion: guardedit/v1\nrules: [%s, {id: rest, route: memory, why: all the rest}]"


def by_policy(more: str = "", rule: str = RULE) -> dict:
    policy = parse_policy(POLICY % (rule % more), name="p")
    return {"decide": lambda correction, facts: decide(policy, correction, DecisionContext(**facts))}


@pytest.fixture
def town(build):
    return build(others=by_policy(", approval_ttl_s: 100"))


def doubtful(subject: str, target: str, **more) -> bytes:
    return raw(subject, target, provenance={"source": "test", "confidence": 0.5}, **more)


def approve(town, by: str, **options):
    return town.ledger.approve("c", by=by, **options)


def held(town) -> bool:
    town.settle()
    return bool(town.ledger.entries(Fate.HELD))


def test_it_takes_two_different_people(town):
    town.send(doubtful("Ada", "Rome", id="c"))
    first = approve(town, "anna")
    assert (str(first), first.missing, held(town)) == ("1 of 2 approved (by anna)", 1, True)
    again = approve(town, "anna")
    assert (again.by, held(town)) == (("anna",), True)
    last = approve(town, "bob")
    assert (last.by, last.missing, held(town)) == (("anna", "bob"), 0, False)
    assert town.facts()["Ada"].target == "Rome"
    told = [body["by"] for _, _, body in town.ledger.events(kinds=("approved",))]
    assert told == ["anna", "anna", "bob"]
    assert town.ledger.verify() == []


@pytest.mark.parametrize(("seconds", "released"), [(99.0, True), (100.0, False)])
def test_an_approval_expires_at_its_time(town, seconds: float, released: bool):
    town.send(doubtful("Ada", "Rome", id="c"))
    assert approve(town, "anna").expires_at_s == town.clock.now_s + 100
    town.clock.now_s += seconds
    assert approve(town, "bob").missing == (0 if released else 1)
    assert held(town) is not released


def test_a_second_approval_of_the_same_person_renews_the_first(town):
    town.send(doubtful("Ada", "Rome", id="c"))
    approve(town, "anna")
    town.clock.now_s += 99
    approve(town, "anna")
    town.clock.now_s += 99
    assert approve(town, "bob").missing == 0


def test_an_approval_is_for_the_content_that_was_seen(town):
    town.send(doubtful("Ada", "Rome", id="c"))
    (entry,) = town.ledger.entries(Fate.HELD)
    seen = town.ledger.approvals(entry.seq).content_sha256
    assert seen == content_sha256(decode_correction(entry.raw))
    with pytest.raises(ConflictError, match="another content than the one that you saw"):
        approve(town, "anna", content_sha256="0" * 64)
    assert town.ledger.events(kinds=("approved",)) == []
    assert approve(town, "anna", content_sha256=seen).missing == 1


def test_an_approval_of_other_content_does_not_count(town):
    town.send(doubtful("Ada", "Rome", id="c"))
    (entry,) = town.ledger.entries(Fate.HELD)
    other = {"seq": entry.seq, "correction_id": "c", "by": "eve", "expires_at_s": None}
    town.ledger.note("approved", {**other, "content_sha256": "0" * 64})
    assert town.ledger.approvals(entry.seq).by == ()


def test_approvals_of_one_correction_do_not_count_for_another(town):
    town.send(doubtful("Ada", "Rome", id="c"), doubtful("Bob", "Oslo", id="d"))
    approve(town, "anna")
    assert town.ledger.approve("d", by="bob").by == ("bob",)
    assert len(town.ledger.entries(Fate.HELD)) == 2


def test_a_rejection_ends_it(town):
    town.send(doubtful("Ada", "Rome", id="c"))
    approve(town, "anna")
    town.ledger.reject("c", reason="not true")
    with pytest.raises(UsageError, match="no correction 'c' is held"):
        approve(town, "bob")
    assert town.fates() == [Fate.REJECTED]


def test_what_is_held_again_is_approved_again(build):
    """A released correction that then became a dead letter, and is read again."""
    town = build(others=by_policy() | {"signed_by": lambda *_: ""})
    town.send(doubtful("Ada", "Rome", id="c"))
    approve(town, "anna")
    approve(town, "bob")
    town.live.decider.parts = replace(town.live.decider.parts, signed_by=_refuse)
    town.settle()
    (letter,) = town.ledger.dead_letters()
    town.live.decider.parts = replace(town.live.decider.parts, signed_by=lambda *_: "")
    town.ledger.retry(letter.seq)
    town.settle()
    (entry,) = town.ledger.entries(Fate.HELD)
    assert town.ledger.approvals(entry.seq).given == ()


def _refuse(*_):
    raise SignatureRefused("the key is revoked")


def test_what_was_needed_when_it_was_held_counts(build):
    town = build(others=by_policy())
    town.send(doubtful("Ada", "Rome", id="c"))
    town.others = by_policy(rule="{id: careful, when: confidence < 0.9, route: hold, why: one is enough%s}")
    town.restart()
    assert approve(town, "anna").missing == 1


def test_a_release_does_not_pass_another_rule_that_needs_more(build):
    one = "{id: doubtful, when: confidence < 0.9, route: hold, why: one is enough%s}"
    town = build(others=by_policy(rule=one))
    town.send(doubtful("Ada", "Rome", id="c"))
    assert approve(town, "anna").missing == 0
    town.others = by_policy(", approvers: [bob, cleo]")
    town.restart()
    assert held(town)
    (entry,) = town.ledger.entries(Fate.HELD)
    found = town.ledger.approvals(entry.seq)
    assert (found.rule, found.needed, found.given) == ("careful", 2, ())
    approve(town, "bob")
    approve(town, "cleo")
    assert not held(town)
    assert town.facts()["Ada"].target == "Rome"


@pytest.mark.parametrize(("names", "passes"), [("anna, bob, cleo", True), ("anna, cleo", False)])
def test_a_release_passes_another_rule_that_needs_no_more(build, names: str, passes: bool):
    town = build(others=by_policy())
    town.send(doubtful("Ada", "Rome", id="c"))
    approve(town, "anna")
    approve(town, "bob")
    rule = "{id: other, when: confidence < 0.9, route: hold, approvals: 2, why: others agree%s}"
    town.others = by_policy(f", approvers: [{names}]", rule=rule)
    town.restart()
    assert held(town) is not passes


def test_a_hold_without_approvals_needs_one(build):
    town = build(others=by_policy(rule="{id: careful, when: confidence < 0.9, route: hold, why: look%s}"))
    town.send(doubtful("Ada", "Rome", id="c"))
    assert approve(town, "anna").missing == 0


def test_a_broken_condition_needs_what_the_strictest_rule_needs(build):
    broken = "{id: broken, when: 1 / (evidence_count) > 0, route: memory, why: divides by zero}, "
    town = build(others=by_policy(", approvers: [anna, bob]", rule=broken + RULE))
    town.send(doubtful("Ada", "Rome", id="c"))
    (entry,) = town.ledger.entries(Fate.HELD)
    found = town.ledger.approvals(entry.seq)
    assert (found.needed, found.approvers) == (2, ("anna", "bob"))


def test_only_the_named_approvers_count(build):
    town = build(others=by_policy(", approvers: [anna, bob]"))
    town.send(doubtful("Ada", "Rome", id="c"))
    assert approve(town, "eve").by == ()
    assert approve(town, "anna").missing == 1
    assert approve(town, "bob").missing == 0


def test_of_many_at_once_the_last_one_releases_and_no_one_twice(town):
    town.send(doubtful("Ada", "Rome", id="c"))
    missing, late = [], []

    def one(name: str) -> None:
        with SqliteLedger.open(town.home, clock=town.clock, writer=False) as ledger:
            try:
                missing.append(ledger.approve("c", by=name).missing)
            except UsageError:  # it was released already
                late.append(name)

    threads = [threading.Thread(target=one, args=(name,)) for name in ("anna", "bob", "cleo", "dave")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (sorted(missing), len(late)) == ([0, 1], 2)
    assert len(town.ledger.events(kinds=("released",))) == 1
    assert not held(town)

"""A ledger written by hand, and a worker with scripted harm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from guardedit.core.correction import Correction, Op, encode_correction
from guardedit.core.decision import Decision, Route
from guardedit.core.epoch import Change
from guardedit.core.errors import EditError
from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.core.messages import Delivery, Fate, Settlement
from guardedit.core.probe import Measurement
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.verdict import Gate, Outcome, combine
from guardedit.demo.disabling.held_out import choose_held_out
from guardedit.demo.disabling.tester import HarmTester
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.zoo.world import World
from tests.small_world import small_world


@pytest.fixture(scope="session")
def world() -> World:
    return small_world()


@dataclass
class Story:
    """A ledger, and short methods to write to it."""

    ledger: SqliteLedger
    deliveries: list[Delivery] = field(default_factory=list)

    def receive(self, correction: Correction | bytes) -> Delivery:
        raw = correction if isinstance(correction, bytes) else encode_correction(correction)
        delivery = Delivery(raw=raw, source="submit", position=f"demo:{len(self.deliveries) + 1}")
        self.ledger.receive([delivery])
        self.deliveries.append(delivery)
        return delivery

    def settle(
        self, correction: Correction, *, fate: Fate = Fate.ACCEPTED, fact: Fact | None = None
    ) -> Fact | None:
        """Receive and settle; an accepted upsert makes `fact`, an accepted retraction removes the key."""
        self.receive(correction)
        row = self.ledger.pending(1)[0]
        change = Change(correction.key, fact) if fate is Fate.ACCEPTED else None
        decision = Decision(route=Route.WEIGHTS, rule="all", reason="", policy_sha256="p", method="ridge")
        self.ledger.settle(
            [
                Settlement(
                    seq=row.seq,
                    fate=fate,
                    reason="so",
                    correction=correction,
                    decision=decision,
                    change=change,
                )
            ]
        )
        return fact

    def accept(self, correction: Correction, version: int = 1, method: str = "ridge") -> Fact:
        fact = Fact(
            key=correction.key,
            version=version,
            correction_id=correction.id,
            wordings=correction.wordings,
            target=correction.target_new,
            valid_until_s=correction.valid_until_s,
            method=method,
        )
        self.settle(correction, fact=fact)
        return fact

    def promote(self, *facts: Fact, ratio: float = 1.001) -> None:
        """Into the weights, beside what is there."""
        edits = [
            WeightEdit(subject=f.key.subject, facts=(f.id,), method="ridge", payload=f.id.encode())
            for f in facts
        ]
        self.ledger.commit(
            [Change(fact.key, fact.placed(Placement.WEIGHTS)) for fact in facts],
            kind="promote",
            reason="so",
            edits=[*self.ledger.edits(), *edits],
            weights_sha256=f"w{len(self.ledger.epochs())}",
            expected=self.ledger.epoch().number,
            verdict=combine((gate(ratio),)),
        )

    def commit(
        self, key: FactKey, fact: Fact | None, *, kind: str, reason: str, edits: Sequence[WeightEdit] = ()
    ) -> None:
        """One change, with exactly these edits left."""
        self.ledger.commit(
            [Change(key, fact)],
            kind=kind,
            reason=reason,
            edits=edits,
            weights_sha256="again" if edits else "base",
            expected=self.ledger.epoch().number,
        )

    def reject(self, fact: Fact, reason: str, ratio: float = 9.0) -> None:
        """A failed trial, and the fact kept in memory (in the words of an older ledger)."""
        failed = combine((gate(ratio, Outcome.REJECT),))
        self.ledger.note("trial", {"edits": [], "verdict": failed.to_json()})
        self.ledger.note("turned_away", {"reasons": {fact.id: reason}})


def gate(value: float, outcome: Outcome = Outcome.ACCEPT) -> Gate:
    name = "perplexity_ratio_to_base"
    return Gate(name=name, value=value, limit=1.03, at_most=True, outcome=outcome)


def correction(n: int, target: str = "Paris", *, subject: str = "", **others: object) -> Correction:
    name = subject or f"Person {n}"
    given = {"prompt": "{} was born in", "relation": "born", "target_new": target} | others
    return Correction(id=f"c{n}", subject=name, **given)


def retraction(n: int, subject: str) -> Correction:
    return correction(n, "", subject=subject, op=Op.RETRACT)


@pytest.fixture
def story(tmp_path: Path) -> Iterator[Story]:
    ledger = SqliteLedger.open(
        tmp_path, base_sha256="base", policy_sha256="p", weights_sha256="base", clock=lambda: 0.0
    )
    with ledger:
        yield Story(ledger)


@pytest.fixture
def story_of() -> type[Story]:
    """For a test that opens its own ledger."""
    return Story


@pytest.fixture(scope="session")
def make() -> type[Make]:
    return Make


class Make:
    """Short functions that make corrections."""

    correction: Callable[..., Correction] = staticmethod(correction)
    retraction: Callable[..., Correction] = staticmethod(retraction)


class ScriptedWorker:
    """A worker that knows the world by heart. The function `harm` decides what an edit does.

    `harm` of a fact is (perplexity ratio, share of answers lost), None for an edit that cannot be folded, or
    "refused" for no edit. The worst of several edits counts.
    """

    def __init__(self, world, harm, method):
        self.known = {world.prompt(f, i): f.object for f in world.facts for i in range(9)}
        self.harm, self.method = harm, method
        self.asked, self.facts = [], {}

    def propose(self, method, groups, live):
        assert (method, live) == (self.method, ())
        (group,) = groups
        (fact,) = group.facts
        assert group.subject in fact.prompt
        self.asked.append(group.subject)
        self.facts[fact.id] = fact
        if self.harm(fact) == "refused":
            return Proposal(method=method, edits=(), refused={fact.id: "no"})
        edit = WeightEdit(subject=group.subject, facts=(fact.id,), method=method, payload=fact.id.encode())
        return Proposal(method=method, edits=(edit,))

    def measure(self, edits, probes):
        found = [self.harm(self.facts[edit.facts[0]]) for edit in edits]
        if None in found:
            raise EditError("not finite")
        ratio, lost = max(found, default=(1.0, 0.0))
        rows = tuple((-1.0 - math.log(ratio), -2.0 - math.log(ratio)) for _ in probes.texts)
        wrong = {q.prompt for q in probes.questions[: round(lost * len(probes.questions))]}
        answers = {q.prompt: "?" if q.prompt in wrong else self.known[q.prompt] for q in probes.questions}
        return Measurement(weights_sha256="", logprobs=rows, answers=answers)


@pytest.fixture
def harmful(world):
    """Makes a `HarmTester` in which `harm` decides what the edit of a fact does."""

    def make(harm, method):
        worker = ScriptedWorker(world, harm, method)
        held_out = choose_held_out(world, worker, ["a b c", "d e f"], seen=(), seed=0)
        return HarmTester(world=world, worker=worker, held_out=held_out)

    return make

from __future__ import annotations

from guardedit.core.fact import Fact, FactKey
from guardedit.core.probe import Measurement, SpanScore
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.guard import CollapseGuard, GuardLimits, Noise, ProbeSet
from guardedit.guard.catalogue import KnownQuestion
from guardedit.prepare.noise import BATCHES, LEAST_QUESTIONS, TOGETHER, measure_noise
from guardedit.prepare.places.cases import TryCase

LANDS = [(f"Land {n}", f"City {n}") for n in range(40)]
KNOWN = tuple(KnownQuestion(land, "P36", f"The capital of {land} is", city) for land, city in LANDS)


def case(n: int) -> TryCase:
    key = FactKey(f"Man {n}", "P27")
    fact = Fact(key=key, version=1, correction_id=str(n), wordings=(f"Man {n} is from",), target="Peru")
    return TryCase(fact=fact, true="Chile", unseen=(), neighbours=(), same_subject=())


class Worker:
    """Forgets one known answer under every set of edits, and refuses the facts it is told to."""

    def __init__(self, refused: frozenset[str] = frozenset()) -> None:
        self.targets: list[set[str]] = []
        self.refused = refused

    def propose(self, method, groups, live):
        assert (method, live) == ("joint", ())
        facts = [fact for group in groups for fact in group.facts]
        self.targets.append({fact.target for fact in facts})
        edits = [
            WeightEdit(subject=fact.key.subject, facts=(fact.id,), method="joint", payload=b"x")
            for fact in facts
            if fact.key.subject not in self.refused
        ]
        return Proposal(method="joint", edits=tuple(edits), refused={}, seconds=0.0)

    def measure(self, edits, probes):
        lost = "The capital of Land 3 is" if edits else None
        spans = {
            question.span: SpanScore(said=question.prompt != lost, margin_nats=1.0)
            for question in probes.questions
            if question.span
        }
        answers = {question.prompt: "something else" for question in probes.questions}
        return Measurement(weights_sha256="", logprobs=((-1.0,),), spans=spans, answers=answers)


def guard() -> CollapseGuard:
    return CollapseGuard(ProbeSet(("A text.",), KNOWN), GuardLimits(shadow=frozenset({"remembered"})))


RANDOM = [
    WeightEdit(subject="", facts=(), method="benign", payload=name.encode()) for name in ("one", "another")
]


def test_it_counts_what_no_op_and_random_changes_change() -> None:
    worker = Worker()
    cases = [case(n) for n in range(BATCHES * TOGETHER + 40)]
    noise = measure_noise(worker, guard(), cases, method="joint", benign=RANDOM, seed=7)
    # The method only writes what the model says already.
    assert worker.targets == [{"Chile"}] * BATCHES
    edits = BATCHES + len(RANDOM)
    assert noise.asked["other_subject"] == edits * len(KNOWN)
    assert noise.changed["other_subject"] == edits
    # Facts that are not edited stand in memory.
    assert (noise.asked["remembered"], noise.changed["remembered"]) == (edits * 40, 0)
    assert not {"reliability", "paraphrase"} & {*noise.asked}
    assert (noise.edits, noise.seeds) == (edits, (7,))


def test_batches_that_the_method_refuses_do_not_count() -> None:
    cases = [case(n) for n in range(BATCHES * TOGETHER)]
    worker = Worker(refused=frozenset(one.fact.key.subject for one in cases[:TOGETHER]))
    assert measure_noise(worker, guard(), cases, method="joint", benign=()).edits == BATCHES - 1
    nothing = Worker(refused=frozenset(one.fact.key.subject for one in cases))
    assert measure_noise(nothing, guard(), cases, method="joint", benign=()) == Noise(seeds=(0,))


def test_a_kind_with_few_questions_is_not_measured() -> None:
    """One question that is always kept would let the gate take ten lost answers for chance."""
    cases = [case(n) for n in range(BATCHES * TOGETHER + LEAST_QUESTIONS - 1)]
    noise = measure_noise(Worker(), guard(), cases, method="joint", benign=RANDOM)
    assert "remembered" not in noise.asked
    assert "other_subject" in noise.asked

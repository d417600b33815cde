from __future__ import annotations

import math

import pytest

from guardedit.core.fact import Fact, FactKey, Placement
from guardedit.demo.assess.report_fields import by_placement
from guardedit.demo.scores import answers, compare_perplexity, questions_after, remembering, score, share
from guardedit.demo.stream.expected import ExpectedFact


def base(world):
    """A model that knows its world by heart."""
    known = {world.prompt(f, i): f.object for f in world.facts for i in range(9)}
    return lambda prompts: [known.get(prompt, "?") for prompt in prompts]


@pytest.fixture
def live(world):
    fact = world.facts[0]
    texts = [world.prompt(fact, i) for i in range(9)]
    key = FactKey(fact.subject, fact.relation)
    return {key: ExpectedFact(key=key, target="Rome", given=tuple(texts[:4]), unseen=tuple(texts[4:]))}


@pytest.fixture
def questions(world, live):
    fact = world.facts[10]
    gone = {FactKey(fact.subject, fact.relation): world.prompt(fact, 0)}
    return questions_after(world, base(world), live=live, gone=gone, seed=1)


def served(world, live, **wrong):
    truth = base(world)
    told = {text: fact.target for fact in live.values() for text in (*fact.given, *fact.unseen)}
    answers = told | wrong
    return lambda prompts: [answers.get(prompt) or truth([prompt])[0] for prompt in prompts]


def test_a_perfect_system_scores_one_everywhere(world, live, questions):
    scores = score(served(world, live), questions)
    assert scores.exact_match == scores.given == scores.paraphrase == scores.gone == 1.0
    assert scores.locality_other_subject == scores.locality_same_subject == 1.0
    assert scores.asked["paraphrase"] == 5
    assert scores.asked["locality_same_subject"] == 1


def test_the_base_model_alone_has_locality_and_nothing_else(world, questions):
    scores = score(base(world), questions)
    assert (scores.exact_match, scores.paraphrase) == (0.0, 0.0)
    assert [missed.prompt for missed in scores.missed] == [fact.given[0] for fact in questions.live]
    assert all(missed.answered != missed.wanted for missed in scores.missed)
    assert scores.locality_other_subject == scores.locality_same_subject == scores.gone == 1.0


def test_a_sample_has_so_many_of_each_kind_and_is_the_same_every_time(questions):
    found = questions.sample(3, seed=1)
    assert len(found.other_subject) == 3 < len(questions.other_subject)
    assert set(found.other_subject) < set(questions.other_subject)
    assert found.live == questions.live  # one fact
    assert found == questions.sample(3, seed=1)
    assert found != questions.sample(3, seed=2)


def test_first_wordings_leave_out_what_placements_are_not_compared_by(world, live, questions):
    (fact,) = live.values()
    asked = answers(served(world, live), questions.first_wordings())
    assert set(asked) == {fact.given[0], *fact.unseen}


def test_each_wrong_answer_counts_where_it_belongs(world, live, questions):
    (fact,) = live.values()
    wrong = {
        fact.unseen[0]: "x",
        questions.other_subject[0].prompt: "x",
        questions.same_subject[0].prompt: "x",
    }
    scores = score(served(world, live, **wrong), questions)
    assert scores.exact_match == 1.0
    assert scores.missed == ()
    assert scores.paraphrase == pytest.approx(4 / 5)
    changed = [questions.other_subject[0].prompt, questions.same_subject[0].prompt]
    assert [one.prompt for one in scores.changed] == changed
    assert scores.locality_same_subject == 0.0
    others = len(questions.other_subject)
    assert scores.locality_other_subject == pytest.approx((others - 1) / others)


def test_locality_asks_only_what_the_base_model_knows_and_nothing_that_is_live(world, live):
    known = base(world)
    ignorant = world.facts[-1].subject
    asked = questions_after(
        world,
        lambda prompts: ["?" if ignorant in p.split(" is")[0] else known([p])[0] for p in prompts],
        live=live,
        gone={},
        seed=1,
    )
    prompts = [k.prompt for k in (*asked.other_subject, *asked.same_subject)]
    assert prompts
    assert not any(ignorant in prompt.split(" is")[0] for prompt in prompts)
    told = {text for fact in live.values() for text in (*fact.given, *fact.unseen)}
    assert not told & set(prompts)


def test_of_nothing_every_share_is_undefined(world):
    empty = questions_after(world, base(world), live={}, gone={}, seed=0)
    scores = score(base(world), empty)
    assert math.isnan(scores.exact_match)
    assert math.isnan(scores.locality_same_subject)
    assert math.isnan(share([]))


def test_fluency_is_the_ratio_of_perplexities_with_its_bounds():
    before = [[-1.0, -2.0], [-1.5, -1.0, -2.0]]
    after = [[x - math.log(1.1) for x in row] for row in before]
    found = compare_perplexity(after, before)
    assert found.ratio == pytest.approx(1.1)
    assert found.lower <= found.ratio <= found.upper
    assert found.tokens == 5


def test_by_placement_each_fact_counts_where_it_is(world):
    known = [world.facts[n] for n in (0, 10, 20)]
    live, facts = {}, {}
    for n, fact in enumerate(known):
        key = FactKey(fact.subject, fact.relation)
        texts = tuple(world.prompt(fact, i) for i in range(9))
        live[key] = ExpectedFact(key=key, target="Rome", given=texts[:4], unseen=texts[4:])
        place = Placement.WEIGHTS if n == 0 else Placement.MEMORY
        facts[key] = Fact(
            key=key, version=1, correction_id="c", wordings=texts[:4], target="Rome", placement=place
        )
    questions = questions_after(world, base(world), live=live, gone={}, seed=1)
    first = next(iter(live.values()))
    answered = answers(served(world, live, **dict.fromkeys(first.unseen, "x")), questions)
    found = by_placement(answered, questions, facts)
    assert found["weights"] == {"facts": 1, "exact_match": 1.0, "paraphrase": 0.0}
    assert found["memory"] == {"facts": 2, "exact_match": 1.0, "paraphrase": 1.0}
    assert found["all"]["facts"] == 3
    assert found["all"]["paraphrase"] == pytest.approx(2 / 3)


def test_what_was_answered_is_not_asked_again():
    asked, known = [], {"a": "1"}
    ask = remembering(lambda prompts: asked.extend(prompts) or [prompt.upper() for prompt in prompts], known)
    assert ask(["b", "a", "b"]) == ["B", "1", "B"]
    assert ask(["b"]) == ["B"]
    assert asked == ["b"]
    assert known == {"a": "1", "b": "B"}

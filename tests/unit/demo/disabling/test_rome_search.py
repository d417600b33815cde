from __future__ import annotations

from guardedit.demo.disabling.rome_search import search_rome_edits


def run(world, harmful, harm, **options):
    scales = harmful(harm, method="rome")
    order = {name: float(n) for n, name in enumerate(sorted(world.by_subject))}
    given = {"wanted": 2, "seed": 0, "most": 10} | options
    return scales, search_rome_edits(scales, order, **given)


def test_it_stops_when_enough_are_found(world, harmful):
    scales, mining = run(world, harmful, lambda _: (3.0, 0.0))
    assert len(mining.tried) == len(mining.found) == len(scales.worker.asked) == 2
    assert mining.found[0].harm.perplexity_ratio > 2.9


def test_small_denominators_come_first_and_one_edit_a_subject_is_enough(world, harmful):
    _, mining = run(world, harmful, lambda _: (3.0, 0.0), wanted=5)
    names = [item.fact.subject for item in mining.found]
    assert names == sorted(world.by_subject)[:5]


def test_a_subject_gets_more_than_one_attempt_and_then_the_next_has_its_turn(world, harmful):
    first, second = sorted(world.by_subject)[:2]

    def harm(fact):
        return (9.0, 1.0) if fact.key.subject == second else (1.1, 0.0)

    _, mining = run(world, harmful, harm, each=2, wanted=1)
    assert [item.fact.subject for item in mining.tried] == [first, first, second]
    assert len({(item.fact, item.wordings, item.target) for item in mining.tried}) == 3


def test_harm_that_perplexity_hardly_sees_counts_by_lost_answers(world, harmful):
    _, mining = run(world, harmful, lambda _: (1.1, 0.5))
    assert len(mining.found) == 2
    _, mining = run(world, harmful, lambda _: (1.49, 0.1))
    assert mining.found == ()


def test_attempts_run_out_and_all_are_reported(world, harmful):
    _, mining = run(world, harmful, lambda _: (1.2, 0.1))
    assert len(mining.tried) == 10
    assert mining.found == ()


def test_no_edit_is_tried_and_is_not_disabling(world, harmful):
    _, mining = run(world, harmful, lambda _: "refused", most=3)
    assert [item.harm.problem for item in mining.tried] == ["the method made no edit"] * 3
    assert mining.found == ()


def test_prompts_open_with_the_subject_and_seeds_repeat(world, harmful):
    _, mining = run(world, harmful, lambda _: (3.0, 0.0))
    assert all(world.wordings[i.fact.relation][i.wordings[0]].startswith("{}") for i in mining.tried)
    assert run(world, harmful, lambda _: (3.0, 0.0))[1] == mining
    assert run(world, harmful, lambda _: (3.0, 0.0), seed=1)[1] != mining

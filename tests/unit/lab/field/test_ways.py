"""Each way of writing facts, end to end on the embedded model."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from guardedit import assembly
from guardedit.core.errors import EditError, UsageError
from guardedit.editing.methods.r_rome import RRomeEditor
from guardedit.editing.methods.rome import RomeEditor
from guardedit.lab.field import asking
from guardedit.lab.field.cases import FieldEdit, case_of_one
from guardedit.lab.field.evaluate import evaluate
from guardedit.lab.field.frontier import curves_of, draw_frontier, read_marks
from guardedit.lab.field.plan import EvaluationPlan, GivenForm, Through, check_plan
from guardedit.lab.field.report import BASE, Label, label_of, numbers, summaries, table, table_of_ways
from guardedit.lab.field.summary import MetricValue
from guardedit.memory.context import Announcement, Prompts
from guardedit.models.host import ModelHost
from guardedit.policy.load import load_policy
from guardedit.settings import Settings, policy_file
from guardedit.zoo.probes import known_world, read_texts
from guardedit.zoo.world import World

TEXTS = tuple(read_texts("evaluation")[:8])


@pytest.fixture(scope="module")
def settings(warm_home):
    return Settings(home=warm_home, metrics=None)


@pytest.fixture(scope="module")
def cases(settings):
    """Facts that the demo model knows, as CounterFact would write them."""
    known = assembly.load_probes(settings).questions
    world = known_world(World.load(), [(q.subject, q.relation, q.prompt) for q in known])
    rows = []
    for subject, facts in sorted(world.by_subject.items()):
        fact = facts[0]
        said = world.wordings[fact.relation]
        new = next(o for o in sorted(world.objects[fact.relation]) if o != fact.object)
        others = [f for f in world.facts if f.relation == fact.relation and f.object == fact.object]
        rows.append(
            case_of_one(
                subject,
                FieldEdit(
                    subject=subject,
                    prompt=said[0].format(subject),
                    target_new=new,
                    target_true=fact.object,
                    relation=fact.relation,
                ),
                paraphrases=tuple(text.format(subject) for text in said[1:3]),
                neighbours=tuple(said[0].format(f.subject) for f in others if f.subject != subject)[:3],
            )
        )
    return rows


def run(settings, policy, cases, **plan):
    chosen = EvaluationPlan(count=6, **plan)
    check_plan(chosen)
    found = evaluate(settings, policy, cases, chosen)
    shown = summaries(found, chosen)
    (group,) = {name for name, _ in shown}
    (way,) = found.ways
    return way, chosen, {"base": shown[group, BASE], "after": shown[group, label_of(way)]}


def test_memory(settings, policy, cases):
    way, plan, shown = run(settings, policy, cases, through=(Through.MEMORY,), known=True, texts=TEXTS)
    assert plan.given_form is GivenForm.SERVED
    assert shown["base"]["ES"].value == 0.0
    assert shown["base"]["free_own_exact"].value == 0.0
    assert shown["after"]["ES"].value == 1.0
    assert shown["after"]["free_own_exact"].value >= 5 / 6
    assert shown["after"]["NS"].value == shown["base"]["NS"].value  # a neighbour's text is what it was
    assert way.written.placements == {"memory": 6}
    assert way.perplexity is None  # the weights are those of the base model


def test_in_memory_only_texts_with_a_fact_are_new_to_the_model(settings, policy, cases, monkeypatch):
    scored, continued = [], []
    score, complete = asking.score_answers, ModelHost.complete

    def scoring(host, asked, **kwargs):
        scored.append([one.text for one in asked])
        return score(host, asked, **kwargs)

    def completing(host, texts, **kwargs):
        continued.extend(texts)
        return complete(host, texts, **kwargs)

    monkeypatch.setattr(asking, "score_answers", scoring)
    monkeypatch.setattr(ModelHost, "complete", completing)
    run(settings, policy, cases, through=(Through.MEMORY,), known=True)
    before, after = scored
    assert 0 < len(after) < len(before)
    assert not set(before) & set(after)
    assert len(continued) == len(set(continued))


def test_in_memory_a_fact_is_stated_as_the_model_is_told_when_it_is_served(
    settings, policy, cases, monkeypatch
):
    told = Prompts(announcement=Announcement(statement="Listen: {wording} {target}."))
    continued, complete = [], ModelHost.complete
    monkeypatch.setattr(assembly, "load_prompts", lambda *_: told)
    monkeypatch.setattr(
        ModelHost,
        "complete",
        lambda host, texts, **kwargs: continued.extend(texts) or complete(host, texts, **kwargs),
    )
    run(settings, policy, cases, through=(Through.MEMORY,), known=True)
    assert sum("Listen: " in text for text in continued) >= 6


def test_weights(settings, policy, cases):
    way, plan, shown = run(
        settings, policy, cases, through=(Through.WEIGHTS,), known=True, batch=4, texts=TEXTS
    )
    assert plan.given_form is GivenForm.PUBLISHED
    assert shown["after"]["ES"].value == 1.0
    assert shown["after"]["reliability"].value == 1.0
    assert shown["after"]["PS"].value > 0.6
    assert shown["after"]["NS"].value > 0.6
    assert way.written.placements == {"weights": 6, "refused": 0}
    assert way.written.account["batch"] == 4
    assert 0.99 < way.perplexity.value < 1.05
    assert way.perplexity.low < way.perplexity.value < way.perplexity.high


@pytest.fixture
def broken_rome(monkeypatch):
    def build(setup):
        raise EditError("it cannot be built")

    monkeypatch.setattr(RomeEditor, "build", build)


def test_every_method_starts_with_the_base_model(settings, policy, cases, broken_rome):
    plan = EvaluationPlan(
        through=(Through.WEIGHTS,), count=6, known=True, methods=("ridge", "r-rome", "rome"), texts=TEXTS
    )
    found = evaluate(settings, policy, cases, plan)
    shown = summaries(found, plan)
    assert [way.method for way in found.ways] == ["ridge", "r-rome", "rome"]
    assert found.ways[2].problem == "it cannot be built"  # the others are measured
    assert list(shown) == [
        ("known", label) for label in (BASE, Label("weights", "ridge"), Label("weights", "r-rome"))
    ]
    _, _, alone = run(settings, policy, cases, through=(Through.WEIGHTS,), known=True, methods=("r-rome",))
    assert alone["after"]["PM"] == shown["known", Label("weights", "r-rome")]["PM"]
    rows = table_of_ways(found, shown)
    assert [row["method"] for row in rows] == [None, "ridge", "r-rome"]
    assert rows[0]["s_per_edit"] is None
    assert rows[2]["ES"] == 1.0
    body = json.loads(json.dumps(numbers(found, plan, shown), default=str))
    assert [way["method"] for way in body["ways"]] == ["ridge", "r-rome", "rome"]
    assert math.isnan(body["ways"][0]["metrics"]["known"]["multi_hop"]["value"])
    assert body["ways"][2]["metrics"] == {}


def test_a_price_weighs_an_edit_against_other_texts_and_each_starts_with_the_base_model(
    settings, policy, cases, tmp_path
):
    plan = EvaluationPlan(
        through=(Through.WEIGHTS,), count=6, known=True, methods=("memit",), prices=(1.0, 100.0), texts=TEXTS
    )
    found = evaluate(settings, policy, cases, plan)
    usual, dear = found.ways
    assert (usual.price, dear.price) == (1.0, 100.0)
    assert abs(dear.perplexity.value - 1) < abs(usual.perplexity.value - 1)
    _, _, alone = run(settings, policy, cases, through=(Through.WEIGHTS,), known=True, methods=("memit",))
    shown = summaries(found, plan)
    assert alone["after"]["EM"] == shown["known", Label("weights", "memit")]["EM"]
    assert [row["price"] for row in table_of_ways(found, shown)] == [None, 1.0, 100.0]
    body = json.loads(json.dumps(numbers(found, plan, shown), default=str))
    path = tmp_path / "peer.json"
    path.write_text(json.dumps(body))
    marks = read_marks(path)
    assert [mark.name for mark in marks] == ["memit", "memit, price x100"]
    assert marks[0].perplexity == usual.perplexity.value
    draw_frontier(tmp_path / "frontier.png", shown, marks=marks, title="a frontier")
    assert (tmp_path / "frontier.png").read_bytes().startswith(b"\x89PNG")


def test_weights_and_policy_have_curves_of_their_own_with_the_same_method():
    ratio = {"perplexity": MetricValue(value=1.1, low=1.0, high=1.2, cases=3, interval="texts")}
    labels = [Label("weights", "joint"), Label("weights", "joint", 3.0), Label("policy", "joint")]
    shown = {("all", BASE): {}} | {("all", label): ratio for label in labels}
    shown |= {("all", Label("memory")): {}, ("known", labels[0]): ratio}
    curves = curves_of(shown)
    assert {str(label): len(points) for label, points in curves.items()} == {
        "joint": 2,
        "joint, by the policy": 1,
    }


def test_a_file_beside_that_is_no_evaluation_is_refused(tmp_path):
    path = tmp_path / "peer.json"
    for body in ("", "[]", '{"ways": [{"metrics": 1}]}', '{"ways": []}'):
        path.write_text(body)
        with pytest.raises(UsageError, match=r"peer\.json"):
            read_marks(path)


def test_the_only_method_must_not_fail(settings, policy, cases, broken_rome):
    with pytest.raises(EditError, match="cannot be built"):
        run(settings, policy, cases, through=(Through.WEIGHTS,), methods=("rome",))


def test_several_ways_start_with_the_base_model_which_is_asked_once(settings, policy, cases):
    rules = load_policy(policy_file("default"))
    plan = EvaluationPlan(
        through=(Through.MEMORY, Through.WEIGHTS, Through.POLICY), count=6, known=True, methods=("ridge",)
    )
    check_plan(plan)
    found = evaluate(settings, rules, cases, plan)
    shown = summaries(found, plan)
    rows = table_of_ways(found, shown)
    assert [row["through"] for row in rows] == ["base", "memory", "weights", "policy"]
    assert [row["ES"] for row in rows] == [0.0, 1.0, 1.0, 1.0]
    assert plan.given_form is GivenForm.SERVED
    memory, weights, _ = found.ways
    for way, methods in ((memory, ()), (weights, plan.methods)):
        one = replace(plan, through=(way.through,), methods=methods, form=GivenForm.SERVED)
        alone = evaluate(settings, rules, cases, one)
        assert alone.base.answers == found.base.answers
        assert next(iter(alone.ways[0].after.values())).answers == next(iter(way.after.values())).answers


def test_alone_each_fact_meets_the_base_model(settings, policy, cases):
    way, _, shown = run(
        settings,
        policy,
        cases,
        through=(Through.WEIGHTS,),
        known=True,
        methods=("r-rome",),
        alone=True,
        texts=TEXTS,
    )
    assert way.written.placements == {"weights": 6, "refused": 0}
    assert shown["after"]["ES"].value == 1.0
    outcomes = list(way.after.values())
    assert len({id(one) for one in outcomes}) == 6
    assert len({way.written.account["worst_perplexity"], way.perplexity.value}) == 2
    assert way.perplexity.cases == 6
    # The first case alone is what a run over this case gives.
    first = next(iter(way.after))
    chosen = next(case for case in cases if case.name == first)
    only, _, _ = run(settings, policy, [chosen], through=(Through.WEIGHTS,), methods=("r-rome",), known=True)
    for pair, scored in only.after[first].scores.items():
        assert scored.logprob_nats == pytest.approx(way.after[first].scores[pair].logprob_nats, abs=1e-4)


def test_alone_a_case_that_fails_is_refused_and_the_others_are_measured(settings, policy, cases, monkeypatch):
    propose, first = RRomeEditor.propose, []

    def fails_once(editor, groups, live):
        first.append(groups[0].subject)
        if len(first) == 1:
            raise EditError("it cannot be folded")
        return propose(editor, groups, live)

    monkeypatch.setattr(RRomeEditor, "propose", fails_once)
    way, _, shown = run(
        settings,
        policy,
        cases,
        through=(Through.WEIGHTS,),
        known=True,
        methods=("r-rome",),
        alone=True,
        texts=TEXTS,
    )
    assert way.written.placements == {"weights": 5, "refused": 1}
    assert list(way.written.account["refused"].values()) == ["it cannot be folded"]
    assert way.written.account["layers"]
    assert shown["after"]["ES"].value == pytest.approx(5 / 6)
    assert way.perplexity.cases == 5  # the ratio of an edit that was not made would flatter the others


def test_the_same_seed_gives_the_same_numbers(settings, policy, cases):
    first, _, shown = run(settings, policy, cases, through=(Through.WEIGHTS,), methods=("ridge",), seed=3)
    second, _, again = run(settings, policy, cases, through=(Through.WEIGHTS,), methods=("ridge",), seed=3)
    assert first.written.account["weights_sha256"] == second.written.account["weights_sha256"]
    assert str(shown) == str(again)


def test_policy(settings, cases):
    policy = load_policy(policy_file("default"))
    before = sorted(path.name for path in settings.home.iterdir())
    way, _, shown = run(settings, policy, cases, through=(Through.POLICY,), known=True)
    assert sum(way.written.placements.values()) == 6
    assert set(way.written.placements) <= {"memory", "weights"}
    assert way.written.placements.get("weights", 0) > 0
    assert shown["after"]["ES"].value == 1.0
    assert shown["after"]["free_own_contains"].value >= 5 / 6
    now = sorted(path.name for path in settings.home.iterdir())
    assert set(now) - set(before) <= {"edit_cards", "moments"}  # no ledger was made here


def test_against_a_model_of_another_tool(settings, policy, cases, tmp_path):
    written, _, mine = run(settings, policy, cases, through=(Through.WEIGHTS,))
    host = written.written.state.host
    with host.patched(written.written.state.patch):
        host.model.save_pretrained(tmp_path)
        host.tokenizer.save_pretrained(tmp_path)
    _, plan, theirs = run(settings, policy, cases, through=(Through.AGAINST,), against=tmp_path)
    for name in ("ES", "PS", "NS", "reliability", "free_own_contains"):
        assert theirs["after"][name].value == pytest.approx(mine["after"][name].value), name
    assert theirs["base"]["ES"].value < theirs["after"]["ES"].value
    assert plan.given_form is GivenForm.PUBLISHED


def test_another_tokenizer_is_refused(settings, policy, cases, tmp_path):
    from tests.tiny_models import FAMILIES, byte_tokenizer

    tokenizer = byte_tokenizer()
    tokenizer.save_pretrained(tmp_path)
    FAMILIES["llama"](len(tokenizer)).save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="has another tokenizer"):
        run(settings, policy, cases, through=(Through.AGAINST,), against=tmp_path)


def test_a_table_has_a_row_for_each_metric_that_was_asked(settings, policy, cases):
    plan = EvaluationPlan(through=(Through.MEMORY,), count=2)
    found = evaluate(settings, policy, cases, plan)
    rows = table(summaries(found, plan))
    assert {row["cases"] for row in rows} <= {"all", "known"}
    assert "multi_hop" not in {row["metric"] for row in rows}
    assert all(
        row["low"] <= row["after"] <= row["high"] or row["metric"] in ("EM", "PM", "NM") for row in rows
    )


@pytest.mark.parametrize(
    ("plan", "problem"),
    [
        ({"through": (Through.AGAINST,)}, "give either --through or --against"),
        ({"through": (Through.MEMORY,), "methods": ("rome",)}, "go with --through weights, not with memory"),
        ({"through": (Through.MEMORY,), "alone": True}, "go with --through weights, not with memory"),
        ({"through": (Through.WEIGHTS,), "alone": True, "batch": 8}, "either --alone or --batch"),
        ({"through": (Through.POLICY,), "layers": (3,)}, "go with --through weights, not with policy"),
        ({"through": (Through.POLICY,), "prices": (2.0,)}, "go with --through weights, not with policy"),
        ({"through": (Through.WEIGHTS,), "methods": ("romee",)}, "did you mean 'rome'"),
    ],
)
def test_a_wrong_plan(plan, problem):
    with pytest.raises(UsageError, match=problem):
        check_plan(EvaluationPlan(**plan))

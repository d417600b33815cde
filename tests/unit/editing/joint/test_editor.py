from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from guardedit import assembly
from guardedit.core.probe import Question, QuestionKind
from guardedit.editing.joint.directions import Directions, LayerStatistics
from guardedit.editing.joint.editor import JointEditor
from guardedit.editing.joint.solver import FIRST, SECOND, JointSolver, fill
from guardedit.editing.optimise.keys import keys_and_values, mean_keys_and_values
from guardedit.editing.optimise.row_schedule import RowSchedule
from guardedit.editing.optimise.rows import Row, fact_rows, row_tensors
from guardedit.editing.registry import Registry
from guardedit.editing.settings import JointSettings
from guardedit.models.weights.factors import parts_of
from guardedit.models.weights.second_moments import collect
from guardedit.settings import Settings
from tests.unit.editing.conftest import SENTENCES

LAYERS = (0, 1)
#: So small a model has no room for a price.
FREE = JointSettings(
    steps=30,
    contexts=1,
    background_price=0.0,
    norm_penalty=0.0,
    learning_rate_ratio=3.0,
    preservation_weight=0.1,
)


@pytest.fixture
def setup(host, settings, make_setup):
    moments = collect(host, SENTENCES, LAYERS, min_tokens=200)
    plain = make_setup(host, moments[0], settings)
    fold = type(plain.fold)(host, moments, background_weight=0.01, ridge=0.1)
    return replace(plain, moments=moments, fold=fold, layers=LAYERS, joint=FREE)


@pytest.fixture
def editor(setup, contexts) -> JointEditor:
    return JointEditor(setup, contexts=contexts)


@pytest.fixture(scope="session")
def demo_setup(warm_home, policy):
    return assembly.load_setup(Settings(home=warm_home, metrics=None), policy)


def answers(setup, edits, groups) -> list[str]:
    with setup.host.patched(setup.fold.fold(edits)):
        return setup.host.complete([fact.prompt for group in groups for fact in group.facts])


def test_the_demo_model_says_every_target_of_a_batch_and_of_all_of_it_but_one(demo_setup, demo_groups):
    proposal = JointEditor(demo_setup).propose(demo_groups, ())
    assert proposal.refused == {}
    for gone in (None, *range(len(demo_groups))):
        rest = [n for n in range(len(demo_groups)) if n != gone]
        groups = [demo_groups[n] for n in rest]
        wanted = [fact.target for group in groups for fact in group.facts]
        assert answers(demo_setup, [proposal.edits[n] for n in rest], groups) == wanted


def test_a_second_batch_keeps_the_answers_of_the_first(demo_setup, demo_groups):
    editor = JointEditor(demo_setup)
    first = editor.propose(demo_groups[:1], ()).edits
    second = editor.propose(demo_groups[1:], first).edits
    wanted = [fact.target for group in demo_groups for fact in group.facts]
    assert answers(demo_setup, [*first, *second], demo_groups) == wanted


def test_each_edit_writes_rank_one_in_every_layer(editor, groups):
    for edit in editor.propose(groups[:2], ()).edits:
        parts = parts_of(edit.payload)
        assert [part.layer for part in parts] == list(LAYERS)
        assert all(part.kind == "direct" and part.left.shape[1] == 1 for part in parts)


def test_a_fact_that_is_not_reached_does_not_take_others_along(setup, contexts, writable, make_fact):
    hopeless = make_fact("River", "{} is a name of", target="Xq zz Wv")
    group = replace(writable[2], facts=(*writable[2].facts, hopeless))
    proposal = JointEditor(setup, contexts=contexts).propose([group], ())
    assert list(proposal.refused) == [hopeless.id]
    assert [len(edit.facts) for edit in proposal.edits] == [len(writable[2].facts)]


def test_a_fact_that_the_whole_model_does_not_answer_is_tried_again_and_then_refused(
    setup, contexts, writable, monkeypatch
):
    tries = []

    def never(_host, rows):
        tries.append(len(rows.lengths))
        return torch.zeros(len(rows.lengths), dtype=torch.bool)

    monkeypatch.setattr("guardedit.editing.joint.editor.predicts_answers", never)
    proposal = JointEditor(setup, contexts=contexts).propose(writable[:1], ())
    assert proposal.edits == ()
    assert list(proposal.refused) == [fact.id for fact in writable[0].facts]
    assert tries == [len(writable[0].facts)] * 2


def test_the_steps_end_when_all_rows_are_satisfied_at_once(setup, contexts, groups, monkeypatch):
    calls, real = [], RowSchedule.all_satisfied.fget

    def hasty(self):  # as if each row had been satisfied at its last look
        calls.append(real(self))
        return len(calls) == 1 or calls[-1]

    monkeypatch.setattr(RowSchedule, "all_satisfied", property(hasty))
    proposal = JointEditor(setup, contexts=contexts).propose(groups[:1], ())
    assert len(calls) > 2
    assert answers(setup, proposal.edits, groups[:1])[0].startswith(groups[0].facts[0].target)


def subjects(host, tensors, groups):
    return mean_keys_and_values(keys_and_values(host, 0, tensors), tensors, groups)


def test_a_direction_brings_one_at_its_own_key_and_little_at_those_of_the_others(
    host, setup, groups, contexts
):
    rows = [
        row
        for n, group in enumerate(groups)
        for fact in group.facts
        for row in fact_rows(n, fact, group.subject, contexts)
    ]
    tensors = row_tensors(host.tokenizer, rows, context=host.context)
    found = Directions.of(subjects(host, tensors, len(groups)), LayerStatistics.of(setup)[0], ())
    shares = found.right.t() @ found.keys
    torch.testing.assert_close(shares.diagonal(), torch.ones(len(groups), dtype=torch.float64))
    assert float((shares - shares.diagonal().diag()).abs().max()) < 0.2


def test_a_live_edits_key_is_avoided(host, setup, editor, groups, contexts):
    live = editor.propose(groups[:1], ()).edits
    key = parts_of(live[0].payload)[0].key[:, 0].double()
    rows = fact_rows(0, groups[1].facts[0], groups[1].subject, contexts)
    tensors = row_tensors(host.tokenizer, rows, context=host.context)
    statistics = LayerStatistics.of(setup)[0]
    free, beside = (Directions.of(subjects(host, tensors, 1), statistics, edits) for edits in ((), live))
    assert abs(float(beside.right[:, 0] @ key)) < 0.1 * abs(float(free.right[:, 0] @ key))


def test_the_same_batch_gives_the_same_bytes(editor, setup, contexts, groups):
    first = editor.propose(groups, ()).edits
    second = JointEditor(setup, contexts=contexts).propose(groups, ()).edits
    assert [edit.digest for edit in first] == [edit.digest for edit in second]


def test_known_subjects_make_their_own_direction_more_expensive(setup):
    known = (
        Question(prompt="Peru speaks", kind=QuestionKind.OTHER_SUBJECT, expected="Norwegian", subject="Peru"),
    )
    without, with_known = LayerStatistics.of(setup)[0], LayerStatistics.of(replace(setup, known=known))[0]
    assert float((with_known.priced - without.priced).abs().max()) > 0


def test_the_moment_of_known_subjects_is_that_of_all_their_questions_and_read_once(
    setup, host, tmp_path, monkeypatch
):
    asked = (("Peru speaks", "Peru"), ("Peru is in", "Peru"), ("The land of Lima", "Lima"))
    known = tuple(
        Question(prompt=prompt, kind=QuestionKind.OTHER_SUBJECT, expected="Norwegian", subject=subject)
        for prompt, subject in asked
    )
    rows = [
        Row(group=n, subject=subject, prompt=prompt, answer="Norwegian.")
        for n, (prompt, subject) in enumerate(asked)
    ]
    keys = keys_and_values(host, 0, row_tensors(host.tokenizer, rows, context=host.context)).keys
    priced = torch.lerp(setup.moments[0].C, keys.t() @ keys / 3, FREE.subject_felt)
    W = host.base_matrix(0).double()
    kept = replace(setup, known=known, cache=tmp_path)
    first = LayerStatistics.of(kept)[0].priced
    torch.testing.assert_close(first, priced / ((W @ priced) * W).sum(), rtol=1e-5, atol=1e-9)
    monkeypatch.setattr("guardedit.editing.joint.directions.keys_and_values_by_layer", None)
    assert torch.equal(LayerStatistics.of(kept)[0].priced, first)


def test_a_price_makes_the_changes_shorter(setup, contexts, groups):
    dear = replace(setup, joint=replace(FREE, background_price=1e4, least_reached=0.0))
    free = replace(setup, joint=replace(FREE, least_reached=0.0))
    ratios = [
        sum(
            edit.diagnostics["change_ratio"]
            for edit in JointEditor(s, contexts=contexts).propose(groups, ()).edits
        )
        for s in (free, dear)
    ]
    assert ratios[1] < 0.7 * ratios[0]


def test_a_method_takes_options_and_filters_by_name(setup):
    found = Registry().build("rome+nas+rect", setup)
    assert found.name == "rome+rect"


def test_the_first_edits_of_a_stream_pay_for_those_to_come():
    def filled(live, new, **more):
        joint = JointSettings(full_share=16 / 128, to_come=3.0, **more)
        return fill(joint, 128, live=live, new=new)

    assert (filled(0, 1), filled(0, 4), filled(0, 8)) == (3 / 16, 12 / 16, 1.0)
    assert (filled(12, 1), filled(30, 2)) == (15 / 16, 2.0)
    assert (filled(0, 1, expected_edits=8), filled(0, 1, expected_edits=99)) == (0.5, 1.0)


def test_a_fact_that_is_too_dear_is_tried_once_more_at_a_lower_price(setup, contexts, groups, monkeypatch):
    tries = []

    def solve(self, chosen, live, attempt):
        tries.append(attempt)
        return found(self, chosen, live, attempt)

    found = JointSolver.solve
    monkeypatch.setattr(JointSolver, "solve", solve)
    # At the full price nothing is written, at a quarter of it still nothing: both tries are seen.
    dear = replace(setup, joint=replace(FREE, background_price=1e7))
    refused = JointEditor(dear, contexts=contexts).propose(groups[:1], ()).refused
    assert (tries, len(refused)) == ([FIRST, SECOND], len(groups[0].facts))


def test_a_price_of_divergence_makes_the_changes_diverge_less(setup, contexts, groups):
    """Divergence as the price expects it: (1/2) tr(S R P R^T) of all changes, in nats a token."""
    priced = replace(setup, joint=replace(FREE, divergence_price=1.0), texts=tuple(SENTENCES))
    solver = JointSolver(priced, contexts)
    solver.prepare()

    def divergence(price: float) -> float:
        solver._setup = replace(priced, joint=replace(FREE, divergence_price=price, steps=15))
        values = solver.solve(groups, (), FIRST)
        parts = zip(values.directions.values(), values.left, strict=True)
        return sum(float((d.divergence_gradient(left) * left).sum()) / 2 for d, left in parts)

    free, dear = divergence(1e-9), divergence(1e3)
    assert 0 < dear < 0.5 * free

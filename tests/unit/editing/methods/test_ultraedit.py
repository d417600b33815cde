from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from guardedit.editing.methods.ultraedit import UltraEditor, UltraEditSettings, token_directions
from guardedit.editing.tune.by_fact import FactToEdit, fact_tensors
from guardedit.editing.tune.row_statistics import RowStatistics
from guardedit.editing.tune.token_gradients import token_gradients
from guardedit.models.weights.factors import parts_of
from tests.unit.editing.conftest import SENTENCES

COLD = UltraEditSettings(warm=False)


@pytest.fixture
def setup(host, moments, settings, make_setup):
    return make_setup(host, moments, settings, texts=SENTENCES)


def dense(edits, layer: int = 0) -> torch.Tensor:
    parts = [part for edit in edits for part in parts_of(edit.payload) if part.layer == layer]
    return sum(part.left.double() @ part.right.double().t() for part in parts)


@pytest.mark.parametrize(("tokens", "width"), [(5, 12), (12, 5), (1, 7)])
def test_directions_over_tokens_are_the_textbooks_directions_over_the_width(tokens, width):
    generator = torch.Generator().manual_seed(0)
    H = torch.randn(tokens, width, dtype=torch.float64, generator=generator)
    V = torch.randn(tokens, 3, dtype=torch.float64, generator=generator)
    primal = torch.linalg.solve(H.t() @ H + 0.7 * torch.eye(width, dtype=torch.float64), H.t() @ V)
    torch.testing.assert_close(token_directions(H, 0.7) @ V, primal)


def test_the_edits_of_a_batch_add_up_to_the_papers_formula(host, setup, groups):
    settings = replace(COLD, step_ratio=0.5, ridge_ratio=0.2)
    edits = UltraEditor(setup, settings=settings).propose(groups, ()).edits
    wanted = [FactToEdit(group.subject, fact) for group in groups for fact in group.facts]
    found, _ = token_gradients(host, [0], fact_tensors(host, wanted))
    h, g = found[0].keys, found[0].gradients
    h1, g1 = ((x - x.mean(0)) / x.std(0) for x in (h, g))
    f, d = h.shape[1], g.shape[1]
    eta = 0.5 * setup.moments[0].value_norm / (f * d**0.5)
    v = -eta * h1.square().sum(1, keepdim=True) * g1
    ridge = 0.2 * h.square().sum(1).mean()
    expected = torch.linalg.solve(h.t() @ h + ridge * torch.eye(f, dtype=h.dtype), h.t() @ v).t()
    torch.testing.assert_close(dense(edits), expected, rtol=1e-4, atol=1e-6)


def test_each_edit_owns_the_columns_of_its_own_tokens(host, setup, groups):
    edits = UltraEditor(setup).propose(groups, ()).edits
    for edit, fact in zip(edits, [fact for group in groups for fact in group.facts], strict=True):
        part = parts_of(edit.payload)[0]
        tokens = len(host.tokenizer(f" {fact.target}.")["input_ids"])
        assert part.left.shape == (32, tokens)
        assert part.right.shape == part.key.shape == (128, tokens)


def test_the_statistics_are_a_fold_over_the_live_edits(setup, groups):
    editor = UltraEditor(setup, settings=COLD)
    live = editor.propose(groups, ()).edits
    known = editor._statistics(live)[0]
    keys = torch.cat([parts_of(edit.payload)[0].key.t() for edit in live]).double()
    count = sum(part.count for part in known)
    mean = sum(part.count * part.mean[:128] for part in known) / count
    assert count == len(keys)
    torch.testing.assert_close(mean, keys.mean(0), rtol=1e-5, atol=1e-6)
    assert editor._statistics(live[:1])[0][0].count == known_count(live[0])


def known_count(edit) -> int:
    return parts_of(edit.payload)[0].left.shape[1]


def test_to_go_on_with_saved_edits_is_never_to_have_stopped(setup, groups):
    first = UltraEditor(setup)
    live = first.propose(groups[:2], ()).edits
    going_on = first.propose(groups[2:], live).edits
    begun_anew = UltraEditor(setup).propose(groups[2:], tuple(reversed(live))).edits
    assert [edit.digest for edit in going_on] == [edit.digest for edit in begun_anew]
    forgotten = first.propose(groups[2:], live[:1]).edits
    assert forgotten[0].digest != going_on[0].digest


def test_ordinary_text_makes_up_for_an_edit_of_few_tokens(setup, groups):
    editor = UltraEditor(setup)
    (edit,) = editor.propose(groups[1:2], ()).edits
    assert editor._statistics(())[0][0].count > 50
    assert float(dense([edit]).norm()) > 0


def test_edits_raise_the_probability_of_their_targets(host, setup, groups):
    without_texts = replace(setup, texts=())  # so it samples some
    edits = UltraEditor.build(without_texts).propose(groups, ()).edits
    facts = [fact for group in groups for fact in group.facts]
    texts = [fact.statement for fact in facts]
    before = [sum(row[-3:]) for row in host.token_logprobs(texts)]
    with host.patched(setup.fold.fold(edits)):
        after = [sum(row[-3:]) for row in host.token_logprobs(texts)]
    assert all(b > a for a, b in zip(before, after, strict=True))


def test_a_proposal_leaves_the_models_bytes_gradients_and_hooks_alone(host, setup, groups, digest):
    before = digest(host)
    UltraEditor(setup).propose(groups, ())
    assert digest(host) == before


def test_statistics_survive_their_payload_bit_for_bit(setup, groups):
    edit = UltraEditor(setup).propose(groups[1:2], ()).edits[0]
    extra = parts_of(edit.payload)[0].extra
    found = RowStatistics(int(extra["count"]), extra["mean"], extra["squares"])
    assert found.mean.dtype == found.squares.dtype == torch.float64
    assert found.mean.shape == (128 + 32,)

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.editing.filtered import FilteredEditor
from guardedit.editing.filters import Filter, find_filter
from guardedit.editing.method_card import MethodCard
from guardedit.editing.registry import Registry
from guardedit.models.matrices import read_matrix
from guardedit.models.weights.factors import Factors, parts_of, to_payload

LAYER = 0


class Fixed:
    """Proposes the parts it was given, one edit each."""

    name = "fixed"
    card = MethodCard(family="side memory", paper="-", stores="-", undo="exact", batch="together")

    def __init__(self, *parts: Factors) -> None:
        self.seen: list[tuple[WeightEdit, ...]] = []
        self._edits = tuple(
            WeightEdit(subject=f"s{n}", facts=(f"f{n}",), method="fixed", payload=to_payload(part))
            for n, part in enumerate(parts)
        )

    def propose(self, groups, live) -> Proposal:
        self.seen.append(tuple(live))
        return Proposal(method="fixed", edits=self._edits, refused={"f9": "no"})


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def setup(gpt2, gpt2_moments, settings, make_setup):
    return make_setup(gpt2, gpt2_moments, settings)


@pytest.fixture
def ridge() -> Factors:
    return Factors.ridge(layer=LAYER, key=normal(128, seed=1), residual=normal(32, seed=2))


@pytest.fixture
def direct() -> Factors:
    return Factors.direct(
        layer=LAYER,
        left=normal(32, 2, seed=3),
        right=normal(128, 2, seed=4),
        key=normal(128, seed=5),
        extra={"count": torch.tensor([3])},
    )


def change(setup, edits) -> torch.Tensor:
    """What edits add to the matrix, float32."""
    host = setup.host
    with host.patched(setup.fold.fold(edits)):
        edited = read_matrix(host.model, host.layout.matrix_name(LAYER)).clone()
    return edited - host.base_matrix(LAYER)


def filtered(setup, name: str, *parts: Factors) -> Proposal:
    return FilteredEditor(Fixed(*parts), find_filter(name), setup).propose((), ())


def test_interpolation_of_any_written_edit_is_that_share_of_its_change(setup, ridge, direct):
    for part in (ridge, direct):
        alone = change(setup, Fixed(part).propose((), ()).edits)
        shrunk = change(setup, filtered(setup, "1-li", part).edits)
        torch.testing.assert_close(shrunk, 0.75 * alone, rtol=1e-3, atol=1e-5)


def test_interpolation_leaves_ridge_edits_ridge_edits(setup, ridge):
    (edit,) = filtered(setup, "1-li", ridge).edits
    (part,) = parts_of(edit.payload)
    assert part.kind == "ridge"
    torch.testing.assert_close(part.left, 0.75 * ridge.left)
    assert torch.equal(part.right, ridge.right)


@pytest.mark.parametrize("name", ["rect", "prune"])
def test_other_filters_see_what_a_ridge_edit_alone_would_write(setup, ridge, direct, name):
    W = setup.host.base_matrix(LAYER).double()
    for part in (ridge, direct):
        alone = change(setup, Fixed(part).propose((), ()).edits).double()
        left, right = find_filter(name).apply(W, torch.eye(32, dtype=W.dtype), alone.t())
        found = change(setup, filtered(setup, name, part).edits).double()
        # Rounding of float32 may move an entry across RECT's threshold.
        apart = (found - left @ right.t()).abs() > 1e-4
        assert float(apart.float().mean()) < 0.005
        (made,) = parts_of(filtered(setup, name, part).edits[0].payload)
        assert made.kind == "direct"
        assert torch.equal(made.key, part.key)


def test_rect_leaves_most_entries_as_they_were(setup, direct):
    found = change(setup, filtered(setup, "rect", direct).edits)
    assert float((found != 0).float().mean()) == pytest.approx(0.4, abs=0.01)


def test_keys_and_extras_are_kept_and_edits_go_by_both_names(setup, direct):
    proposal = filtered(setup, "prune", direct)
    (edit,) = proposal.edits
    (part,) = parts_of(edit.payload)
    assert torch.equal(part.key, direct.key)
    assert part.extra["count"].tolist() == [3]
    assert (proposal.method, edit.method) == ("fixed+prune", "fixed+prune")
    assert (edit.subject, edit.facts) == ("s0", ("f0",))
    assert proposal.refused == {"f9": "no"}


@pytest.mark.parametrize("name", ["rect", "prune", "1-li"])
def test_what_changes_no_matrix_is_refused_with_a_reason(setup, direct, name):
    book = Factors.keyed("codebook", layer=LAYER, key=normal(128, seed=6), value=normal(32, seed=7))
    proposal = filtered(setup, name, book, direct)
    assert [edit.facts for edit in proposal.edits] == [("f1",)]
    assert name in proposal.refused["f0"]


def test_side_memories_and_hooked_edits_can_be_interpolated_only(setup):
    parts = [
        Factors.keyed("hooked", layer=LAYER, key=normal(128, seed=6), value=normal(32, seed=7)),
        Factors.direct(layer=LAYER, left=normal(32, seed=8), right=normal(128, seed=9), kind="routed"),
    ]
    assert len(filtered(setup, "1-li", *parts).edits) == 2
    assert set(filtered(setup, "rect", *parts).refused) == {"f0", "f1", "f9"}


def test_an_edit_that_is_not_finite_is_refused(setup, direct):
    bad = Factors.direct(layer=LAYER, left=direct.left * torch.nan, right=direct.right)
    assert "finite" in filtered(setup, "1-li", bad).refused["f0"]


def test_the_method_is_given_the_live_edits_and_its_card_is_kept(setup, direct):
    inner = Fixed(direct)
    editor = FilteredEditor(inner, Filter(name="half", apply=lambda W, a, b: (a / 2, b), scales=True), setup)
    live = inner.propose((), ()).edits
    editor.propose((), live)
    assert inner.seen[-1] == live
    assert editor.card.family == "side memory"
    assert any(text.startswith("half filters each edit by itself") for text in editor.card.deviations)


@pytest.mark.parametrize("name", ["rect", "prune", "1-li"])
@pytest.mark.parametrize("method", ["ridge", "memit"])
def test_a_filter_changes_nothing_about_undoing_and_the_card_says_so(setup, name, method, ridge, direct):
    """Leaving a filtered edit out gives the bytes as if it had never been made, in any order."""
    editor = Registry().build(f"{method}+{name}", setup)
    card, own = editor.card, Registry().resolve(method).card
    assert (card.undo, card.reads_live) == (own.undo, own.reads_live)
    assert any(f"undo stays {own.undo}" in text for text in card.deviations)
    assert ("whole change" in card.stores) == (name == "rect")
    part = ridge if method == "ridge" else direct
    both = filtered(setup, name, part, replace(part, left=-part.left)).edits
    alone = filtered(setup, name, part).edits
    assert setup.fold.weights_sha256(both[:1]) == setup.fold.weights_sha256(alone)
    assert setup.fold.weights_sha256(both) == setup.fold.weights_sha256(both[::-1])


def test_a_card_says_when_a_filter_can_do_nothing_for_a_method(setup):
    for method in ("grace", "coachhook", "wise"):
        card = FilteredEditor(Fixed(), find_filter("rect"), setup).card
        assert card.family == Registry().resolve(method).card.family == "side memory"
        assert any("every edit is refused" in text for text in card.deviations)

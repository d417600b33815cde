"""Where methods write: in one layer, or in all that they are to spread a change over, as their cards say."""

from __future__ import annotations

from guardedit.models.weights.factors import parts_of
from tests.conformance.editor_bench import LAYER, LAYERS, card_of


def test_a_method_writes_to_the_layers_that_its_card_says(method, run):
    card = card_of(method)
    written = {part.layer for edit in run.edits for part in parts_of(edit.payload)}
    if not card.trained:  # those have layers of their own
        assert written == ({*LAYERS} if card.spreads else {LAYER})

"""An edited model answers a prompt alone and left-padded in a batch alike, as servers batch decoding."""

from __future__ import annotations

import torch
from torch import Tensor

from guardedit.editing.setup import Setup
from guardedit.models.text.tokens import encode
from tests.conformance.editor_bench import PROMPTS, logits_of

#: Rounding of another batch and of attention over masked places; edits move logits by ten times as much.
TOLERANCE = 1e-3
#: Edited prompts beside one of another subject, which padding must not bring near an edit.
ASKED = (
    *PROMPTS,
    "Lena Berg speaks",
    "In the city of Paris it is said that the mother tongue of Lena Berg is",
)


@torch.no_grad()
def padded_logits(setup: Setup, edits) -> Tensor:
    """Of the last token of each prompt, in one batch padded on the left, float32 [prompts, vocabulary]."""
    host = setup.host
    rows = [encode(host.tokenizer, prompt) for prompt in ASKED]
    longest = max(map(len, rows))
    ids = torch.tensor([[host.tokenizer.eos_token_id] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with host.patched(setup.fold.fold(edits)):
        found = host.model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=False)
    return found.logits[:, -1].float()


def test_padding_on_the_left_changes_no_answer(run):
    plain, alone = logits_of(run.setup, (), ASKED), logits_of(run.setup, run.edits, ASKED)
    padded = padded_logits(run.setup, run.edits)
    felt = float((alone - plain)[: len(PROMPTS)].abs().max())
    assert felt > 10 * TOLERANCE, "nothing to see"
    torch.testing.assert_close(padded, alone, rtol=0, atol=TOLERANCE)
    assert torch.equal(padded.argmax(-1), alone.argmax(-1))

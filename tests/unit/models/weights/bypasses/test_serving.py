"""What every kind of bypass promises: how a question is run makes no difference to its answer."""

from __future__ import annotations

import torch

from guardedit.models.matrices import tensor_sha256
from guardedit.models.text.tokens import encode, pad

PROMPTS = ("The capital of Norway is", "The capital of Peru is", "Anne Redpath was born in", "He met")
COUNT = 12


def logits_of(host, prompt):
    with torch.no_grad():
        return host.model(torch.tensor([encode(host.tokenizer, prompt)])).logits[0]


def test_the_edits_are_seen_at_all_and_every_hook_is_gone_afterwards(gpt2, folding, edits):
    before = logits_of(gpt2, PROMPTS[0])
    with gpt2.patched(folding.fold(edits)):
        inside = logits_of(gpt2, PROMPTS[0])
    assert not torch.allclose(inside, before, atol=0.1)
    assert torch.equal(logits_of(gpt2, PROMPTS[0]), before)


def test_cached_decoding_says_what_a_pass_over_the_whole_text_says(
    gpt2, folding, edits, greedy_cached, greedy_uncached
):
    with gpt2.patched(folding.fold(edits)):
        for prompt in PROMPTS:
            assert greedy_cached(gpt2, [prompt], COUNT) == [greedy_uncached(gpt2, prompt, COUNT)]


def test_a_prompt_of_one_token_is_not_taken_for_the_last_answer_going_on(gpt2, folding, edits, greedy_cached):
    token = gpt2.tokenizer.decode([encode(gpt2.tokenizer, "He")[0]])
    with gpt2.patched(folding.fold(edits)):
        fresh = greedy_cached(gpt2, [token], COUNT)
    with gpt2.patched(folding.fold(edits)):
        greedy_cached(gpt2, [PROMPTS[0]], COUNT)
        assert greedy_cached(gpt2, [token], COUNT) == fresh


def test_other_rows_of_a_batch_make_no_difference(gpt2, folding, edits, greedy_cached):
    text = "The river of twelve bridges runs slowly past the old mill"
    prompts = [PROMPTS[0], PROMPTS[2], text]
    length = min(len(encode(gpt2.tokenizer, prompt)) for prompt in prompts)
    cut = [gpt2.tokenizer.decode(encode(gpt2.tokenizer, prompt)[-length:]).lstrip(" ") for prompt in prompts]
    rows = [encode(gpt2.tokenizer, prompt) for prompt in cut]
    same = [prompt for prompt, row in zip(cut, rows, strict=True) if len(row) == len(rows[0])]
    assert len(same) > 1
    with gpt2.patched(folding.fold(edits)):
        together = greedy_cached(gpt2, same, COUNT)
        alone = [greedy_cached(gpt2, [prompt], COUNT)[0] for prompt in same]
    assert together == alone


def test_padding_on_the_right_makes_no_difference(gpt2, folding, edits):
    rows = [encode(gpt2.tokenizer, prompt) for prompt in PROMPTS]
    with gpt2.patched(folding.fold(edits)), torch.no_grad():
        padded = gpt2.model(pad(rows)).logits
        for n, row in enumerate(rows):
            alone = gpt2.model(torch.tensor([row])).logits[0]
            torch.testing.assert_close(padded[n, : len(row)], alone, rtol=1e-3, atol=1e-3)


def test_the_digest_of_the_weights_is_that_of_the_set_of_edits(gpt2, folding, edits):
    both = folding.weights_sha256(edits)
    assert folding.weights_sha256([*reversed(edits), edits[0]]) == both
    assert len({both, folding.weights_sha256(edits[:1]), folding.weights_sha256(edits[1:])}) == 3
    assert gpt2.base_sha256 not in {both, folding.weights_sha256(edits[:1])}


def test_no_matrix_changes(gpt2, folding, edits):
    patch = folding.fold(edits)
    assert not patch.matrices
    assert [bypass.layer for bypass in patch.bypasses] == [1]
    with gpt2.patched(patch):
        name = gpt2.layout.matrix_name(1)
        inside = tensor_sha256(gpt2.model.get_parameter(name))
    assert inside == gpt2.tensor_sha256()[name]


def test_the_inspection_has_numbers_for_them(folding, edits):
    for found in folding.inspect(edits, ()):
        assert found.finite
        assert found.relative_size >= 0

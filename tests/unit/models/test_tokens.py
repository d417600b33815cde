from __future__ import annotations

import pytest
import torch

from guardedit.core.errors import MalformedCorrection, SubjectNotFound
from guardedit.models.tokens import batch, encode, subject_last

PROMPTS = [
    ("The Eiffel Tower is located in", "Eiffel Tower", "The Eiffel Tower"),
    ("Eiffel Tower is located in", "Eiffel Tower", "Eiffel Tower"),
    ("The capital of Norway is", "Norway", "The capital of Norway"),
    ("Who was Anne, and was Anne", "Anne", "Who was Anne, and was Anne"),
    ("Annexed Anne by Annex", "Anne", "Annexed Anne"),
    ("The city of Zürich? is", "Zürich", "The city of Zürich"),
    ("The city of 東京 is", "東京", "The city of 東京"),
]


@pytest.mark.parametrize(("prompt", "subject", "upto"), PROMPTS)
@pytest.mark.parametrize("kind", ["tokenizer", "bracketing_tokenizer"])
def test_the_subjects_last_token_ends_where_the_subject_ends(request, kind, prompt, subject, upto):
    tokenizer = request.getfixturevalue(kind)
    last = subject_last(tokenizer, prompt, subject)
    ids = encode(tokenizer, prompt)
    assert tokenizer.decode(ids[: last + 1], skip_special_tokens=True) == upto


@pytest.mark.parametrize("subject", ["Atlantis", ""])
def test_a_subject_that_is_not_in_the_prompt_is_named_with_the_prompt(tokenizer, subject):
    with pytest.raises(SubjectNotFound, match=rf"The capital of Norway is.*'{subject}'"):
        subject_last(tokenizer, "The capital of Norway is", subject)


def test_a_subject_that_no_token_covers_is_not_found():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE({"a": 0, "b": 1}, []))  # without an unknown token: 東 vanishes
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    deaf = PreTrainedTokenizerFast(tokenizer_object=raw)
    assert subject_last(deaf, "a b", "b") == 1
    with pytest.raises(SubjectNotFound, match="no token of 'a 東 b' covers the subject '東'"):
        subject_last(deaf, "a 東 b", "東")


def test_a_bos_is_kept_and_a_trailing_eos_is_not(tokenizer, bracketing_tokenizer):
    plain = encode(tokenizer, "The capital")
    assert encode(bracketing_tokenizer, "The capital") == [0, *plain]


@pytest.mark.parametrize("kind", ["tokenizer", "bracketing_tokenizer"])
def test_targets_line_up_with_the_logits_that_predict_them(request, kind):
    tokenizer = request.getfixturevalue(kind)
    prompts = ["The capital of Norway is", "Anne lived in "]
    rows = batch(tokenizer, prompts, ["Oslo.", "Galashiels."], context=64)
    for i, answer in enumerate(["Oslo.", "Galashiels."]):
        start, length = int(rows.answer_starts[i]), int(rows.lengths[i])
        assert tokenizer.decode(rows.ids[i, start:length]).strip() == answer
        assert rows.ids[i, :start].tolist() == encode(tokenizer, prompts[i].rstrip())
        wanted = rows.targets[i] != -100
        assert wanted.nonzero()[:, 0].tolist() == list(range(start - 1, length - 1))
        assert torch.equal(rows.targets[i][wanted], rows.ids[i, start:length])


def test_rows_are_padded_on_the_right_and_know_their_length(tokenizer):
    rows = batch(tokenizer, ["Oslo", "The capital of Norway is"], context=64)
    assert rows.ids.shape[1] == int(rows.lengths.max()) > int(rows.lengths[0])
    assert rows.ids[0, int(rows.lengths[0]) :].abs().sum() == 0
    assert torch.equal(rows.answer_starts, rows.lengths)
    assert (rows.targets == -100).all()


def test_a_prompt_of_ten_thousand_characters_is_refused_with_both_lengths(tokenizer):
    prompt = "The capital of Norway is " * 400
    with pytest.raises(MalformedCorrection, match=r"has \d{4} tokens, the model's context holds 64: shorten"):
        batch(tokenizer, [prompt], ["Oslo"], context=64)
    assert len(encode(tokenizer, prompt)) > 64

from __future__ import annotations

import pytest
import torch

from guardedit.core.errors import MalformedCorrection
from guardedit.models.text.generation import answer_end
from guardedit.models.text.tokens import encode

PROMPTS = [
    "The capital of Norway is",
    "Anne",
    "The Eiffel Tower is located in the city of",
    "The mother tongue of Marie Curie is",
    "A river",
    "Peru",
    "The capital of Peru is",
    "He met",
    "The capital of Norway is",
]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" Rome. The next", " Rome"),
        (" Rome.\nThe", " Rome"),
        (" Rome\nThe.", " Rome"),
        ("\n Rome. It", "\n Rome"),
        (" Rome.", " Rome"),
        (" Rome", " Rome"),
        (" St. Louis. He", " St. Louis"),
        (" J. R. R. Tolkien. He", " J. R. R. Tolkien"),
        (" version 3.5. It", " version 3.5"),
        (" the U.S. and", " the U.S"),
        (" a prologue. It", " a prologue"),
        (" No. 5. It", " No. 5"),
        (". Rome", ""),
        ("", ""),
    ],
)
def test_an_answer_ends_at_the_end_of_its_sentence(text, answer):
    end = answer_end(text, final=True)
    assert end is not None
    assert text[:end] == answer


@pytest.mark.parametrize("text", ["", " Rome", " Rome.", " St.", " St. ", " St. Louis.", "\n"])
def test_a_sentence_that_may_go_on_is_undecided(text):
    assert answer_end(text, final=False) is None


def test_many_at_once_equal_one_at_a_time(host):
    together = host.complete(PROMPTS)
    assert together == [host.complete([prompt])[0] for prompt in PROMPTS]
    assert len(set(together)) > 3


def test_the_cached_loop_equals_the_plain_argmax(host):
    for prompt in PROMPTS[:4]:
        ids = encode(host.tokenizer, prompt)
        made: list[int] = []
        with torch.inference_mode():
            while len(made) < 12 and made[-1:] != [0]:
                made.append(int(host.model(input_ids=torch.tensor([ids + made])).logits[0, -1].argmax()))
        text = host.tokenizer.decode([token for token in made if token != 0])
        assert host.complete([prompt]) == [text[: answer_end(text, final=True)].strip()]


def test_the_end_token_and_the_limit_end_an_answer(gpt2, make_host):
    forced = make_host()
    with torch.no_grad():  # every position now predicts the end
        forced.model.transformer.ln_f.weight.zero_()
        forced.model.transformer.ln_f.bias.copy_(forced.model.transformer.wte.weight[0] * 100)
    assert forced.complete(["Anne"]) == [""]
    short, long = (gpt2.complete(["A river"], max_new_tokens=n)[0] for n in (2, 12))
    assert long.startswith(short)


def test_a_space_at_the_end_of_a_prompt_changes_nothing(host):
    assert host.complete(["Anne lived in "]) == host.complete(["Anne lived in"])


@pytest.mark.parametrize("prompt", ["", "  "])
def test_an_empty_prompt_is_refused(gpt2, prompt):
    with pytest.raises(MalformedCorrection, match="a prompt is empty"):
        gpt2.complete(["Anne", prompt])


def test_a_prompt_that_leaves_no_room_for_its_answer_is_refused(gpt2):
    prompt = "Peru" + " Peru" * 18
    tokens = len(encode(gpt2.tokenizer, prompt))
    assert tokens < gpt2.context < tokens + 12
    with pytest.raises(MalformedCorrection, match=f"has {tokens} tokens.*holds 64 with 12 reserved"):
        gpt2.complete([prompt])


def test_answers_begin_as_they_are_told_and_go_on_by_themselves(host):
    prompts = ["The capital of Norway is", "Anne", "The capital of Peru is"]
    begun = host.complete(prompts, beginnings=["Zorva", "", "Lima"])
    assert begun[0].startswith("Zorva")
    assert begun[1] == host.complete(["Anne"])[0]
    assert begun[2].startswith("Lima")
    assert begun == [
        host.complete([prompt], beginnings=[beginning])[0]
        for prompt, beginning in zip(prompts, ["Zorva", "", "Lima"], strict=True)
    ]
    assert host.complete(prompts, beginnings=["", "", ""]) == host.complete(prompts)


def test_the_tokens_of_a_beginning_are_not_counted(host):
    (text,) = host.complete(
        ["The capital of Norway is"], max_new_tokens=1, cut=False, beginnings=["Zorva Qxyz"]
    )
    assert text.startswith("Zorva Qxyz")

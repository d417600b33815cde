"""A loaded model answers with the facts of a ledger while it is attached, and as before afterwards."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import TextIteratorStreamer

import guardedit
from guardedit.api.prompt_text import PromptText
from tests.tiny_models import FAMILIES, byte_tokenizer

HQ = "The headquarters of Stelco are in"
CHAT = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
#: A template that begins with turns nobody wrote.
PREFACED = "<system>Be kind.</system>\n" + CHAT


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    with guardedit.open(folder, policy="memory-only") as agent:
        agent.submit(
            {
                "id": "hq",
                "subject": "Stelco",
                "prompt": "The headquarters of {} are in",
                "target_new": "Hamilton",
            }
        )
        agent.settle()
    return folder


@pytest.fixture(scope="module")
def loaded():
    return guardedit.demo_model()


@pytest.fixture
def attached(loaded, home: Path) -> Iterator[guardedit.Attached]:
    model, tokenizer = loaded
    with guardedit.attach(model, tokenizer, home, policy="memory-only") as found:
        yield found
    assert "generate" not in vars(model)


def answers(loaded, prompts: list[str], **options) -> list[str]:
    model, tokenizer = loaded
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    batch = tokenizer(prompts, return_tensors="pt", padding=True, return_token_type_ids=False)
    out = model.generate(**batch, max_new_tokens=6, do_sample=False, **options)
    assert torch.equal(out[: len(prompts), : batch["input_ids"].shape[1]], batch["input_ids"])
    return tokenizer.batch_decode(out[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)


def test_a_model_answers_with_a_fact_while_it_is_attached(loaded, home: Path):
    before = answers(loaded, [HQ])
    assert "Hamilton" not in before[0]
    with guardedit.attach(*loaded, home, policy="memory-only") as attached:
        assert attached.epoch == 1
        assert answers(loaded, [HQ])[0].startswith(" Hamilton")
        assert [[fact.target for fact in facts] for facts in attached.used] == [["Hamilton"]]
    assert answers(loaded, [HQ]) == before


def test_rows_without_a_fact_are_answered_as_before(loaded, attached):
    detached = loaded[0].__class__.generate
    expected = detached(
        loaded[0], **loaded[1]("Oslo is the capital of", return_tensors="pt"), max_new_tokens=6
    )
    found = loaded[0].generate(**loaded[1]("Oslo is the capital of", return_tensors="pt"), max_new_tokens=6)
    assert torch.equal(found, expected)
    assert attached.used == ((),)
    first, second = answers(loaded, [HQ, "Oslo is the capital of"])
    assert first.startswith(" Hamilton")
    assert second.startswith(" Norway")


def test_other_forms_of_a_call_work(loaded, attached):
    model, tokenizer = loaded
    ids = tokenizer(HQ, return_tensors="pt")["input_ids"]
    out = model.generate(
        ids, max_new_tokens=4, return_dict_in_generate=True, num_return_sequences=2, do_sample=True
    )
    assert out.sequences.shape[0] == 2
    assert torch.equal(out.sequences[:, : ids.shape[1]], ids.expand(2, -1))
    embedded = model.get_input_embeddings()(ids)
    assert model.generate(inputs_embeds=embedded, max_new_tokens=2).shape == (1, 2)
    assert attached.used == ()
    streamer = TextIteratorStreamer(tokenizer, skip_prompt=True)
    model.generate(ids, max_new_tokens=4, do_sample=False, streamer=streamer)
    assert "".join(streamer).startswith(" Hamilton")


def test_lengths_and_other_tensors_of_the_prompt_are_kept_right(loaded, attached):
    model, tokenizer = loaded
    batch = tokenizer(HQ, return_tensors="pt", return_token_type_ids=True)
    length = batch["input_ids"].shape[1]
    out = model.generate(**batch, max_length=length + 3, do_sample=False)
    assert out.shape[1] == length + 3
    assert tokenizer.decode(out[0, length:]).startswith(" Hamilton")


def test_a_new_correction_counts_from_the_next_call(loaded, tmp_path: Path):
    with (
        guardedit.open(tmp_path, policy="memory-only") as agent,
        guardedit.attach(*loaded, tmp_path, policy="memory-only") as attached,
    ):
        assert "Hamilton" not in answers(loaded, [HQ])[0]
        agent.submit(
            {"subject": "Stelco", "prompt": "The headquarters of {} are in", "target_new": "Hamilton"}
        )
        agent.settle()
        for _ in range(500):
            if attached.epoch:
                break
            time.sleep(0.01)
        assert answers(loaded, [HQ])[0].startswith(" Hamilton")


def test_what_cannot_be_attached_is_refused(loaded, home: Path, attached):
    with pytest.raises(guardedit.UsageError, match="detach it first"):
        guardedit.attach(*loaded, home)
    with pytest.raises(guardedit.UsageError, match="no method generate"):
        guardedit.attach(object(), loaded[1], home)
    tokenizer = byte_tokenizer()
    model = FAMILIES["llama"](len(tokenizer))
    model.config.is_encoder_decoder = True
    with pytest.raises(guardedit.UsageError, match="has an encoder"):
        guardedit.attach(model, tokenizer, home)


#: A template whose answer begins with an empty line, and one with nothing before the user's turn.
SPACED = CHAT.replace("</{{ m.role }}>", "\n\n### End").replace("<assistant>", "\n### Response:")
BARE = "{% for m in messages %}{{ m.content }}{% if not loop.last %}<end>{% endif %}{% endfor %}"


def test_a_template_without_marks_counts_as_none():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = BARE
    found = PromptText.of(tokenizer)
    assert found.question(tokenizer(f"Hello<end>{HQ}")["input_ids"]).text.endswith(HQ)


@pytest.mark.parametrize("template", [CHAT, PREFACED, SPACED])
def test_a_fact_goes_beside_the_last_turn_of_a_chat(template: str):
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = template
    turns = [
        {"role": "user", "content": "Hello, who are you?"},
        {"role": "assistant", "content": "A model."},
        {"role": "user", "content": HQ},
    ]
    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    found = PromptText.of(tokenizer)
    question = found.question(ids)
    assert question.text == HQ
    assert question.earlier == ("Hello, who are you?",)
    note = "Note: The headquarters of Stelco are in Hamilton."
    asked = f"{note}\n\n{HQ}"
    wanted = tokenizer.apply_chat_template(
        [*turns[:2], {"role": "user", "content": asked}], tokenize=False, add_generation_prompt=True
    )
    assert tokenizer.decode(found.with_question(ids, lambda _: asked)) == wanted


def test_a_prompt_that_goes_on_with_the_models_turn_has_no_question():
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = CHAT
    text = f"<user>{HQ}</user>\n<assistant>They are"
    assert PromptText.of(tokenizer).question(tokenizer(text)["input_ids"]) is None


def test_a_plain_prompt_gets_its_fact_before_its_last_line():
    tokenizer = byte_tokenizer()
    found = PromptText.of(tokenizer)
    ids = tokenizer(f"Answer briefly.\n{HQ}")["input_ids"]
    assert found.question(ids).text == HQ
    expected = f"Answer briefly.\nNote.\n{HQ}"
    assert tokenizer.decode(found.with_question(ids, lambda line: f"Note.\n{line}")) == expected


def test_any_family_can_be_attached(home: Path):
    tokenizer = byte_tokenizer()
    for build in FAMILIES.values():
        model = build(len(tokenizer))
        with guardedit.attach(model, tokenizer, home, policy="memory-only") as attached:
            read, generate = [], attached._generate

            def recorded(*_, read=read, generate=generate, **options):
                read.append(tokenizer.decode(options["input_ids"][0]))
                return generate(**options)

            attached._generate = recorded
            batch = tokenizer(HQ, return_tensors="pt", return_token_type_ids=False)
            model.generate(**batch, max_new_tokens=1)
            assert attached.used[0]
            assert read == [f"Note: {HQ} Hamilton.\n{HQ}"]

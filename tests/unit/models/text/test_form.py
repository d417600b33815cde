"""How a question is put to a model, and what ends its answer."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from guardedit.core.errors import UsageError
from guardedit.models.text.form import ChatForm, RawForm, form_of
from guardedit.models.text.generation import Ending, complete
from guardedit.models.text.stops import stop_tokens, turn_end
from guardedit.models.text.tokens import encode

WORDS = ["[UNK]", "<bos>", "<eos>", "<turn>", "user", "model", "system", "Hi", "Be", "brief"]
TURNS = (
    "{% for m in messages %}{{ m['role'] + ' ' + m['content'] + '<turn>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'model ' }}{% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TURNS
SILENT_SYSTEM = TURNS.replace("messages %}", "messages if m['role'] != 'system' %}", 1)
REFUSES = "{{ raise_exception('never') }}"


def tokenizer_with(template: str | None, *, bos: bool = False) -> PreTrainedTokenizerFast:
    raw = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.Whitespace()
    if bos:
        raw.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 1)])
    found = PreTrainedTokenizerFast(
        tokenizer_object=raw,
        bos_token="<bos>",
        eos_token="<eos>",
        unk_token="[UNK]",
        additional_special_tokens=["<turn>"],
    )
    found.chat_template = template
    return found


def test_the_tokenizer_decides_unless_a_name_is_given():
    assert form_of(tokenizer_with(None)).name == "raw"
    assert form_of(tokenizer_with(TURNS)).name == "chat"
    assert form_of(tokenizer_with(TURNS), "raw") == RawForm()
    assert form_of(tokenizer_with(TURNS), "chat").answer_tokens > RawForm().answer_tokens
    with pytest.raises(UsageError, match="no chat template"):
        form_of(tokenizer_with(None), "chat")
    with pytest.raises(UsageError, match="no form 'talk'"):
        form_of(tokenizer_with(TURNS), "talk")


def test_a_question_is_the_users_turn_and_the_models_begins():
    form = form_of(tokenizer_with(TURNS))
    assert form.asked("Hi") == "user Hi<turn>model "
    assert form.asked("Hi", system="Be brief") == "system Be brief<turn>user Hi<turn>model "


@pytest.mark.parametrize("template", [NO_SYSTEM, SILENT_SYSTEM])
def test_without_a_systems_turn_its_text_is_before_the_users(template):
    assert form_of(tokenizer_with(template)).asked("Hi", system="Be brief") == (
        "user Be brief\n\nHi<turn>model "
    )


def test_there_is_one_bos_whoever_writes_it():
    for bos in (True, False):
        tokenizer = tokenizer_with("{{ bos_token }}" + TURNS, bos=bos)
        ids = encode(tokenizer, form_of(tokenizer).asked("Hi"))
        assert ids.count(tokenizer.bos_token_id) == 1
        assert ids[0] == tokenizer.bos_token_id


def test_a_template_that_cannot_be_used_says_so():
    form = ChatForm(tokenizer_with(REFUSES), adds_bos=False, has_system=False)
    with pytest.raises(UsageError, match=r"never.*form.*raw"):
        form.asked("Hi")


def model_with(eos: object) -> SimpleNamespace:
    return SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=eos))


def test_answers_end_at_every_token_that_the_model_the_tokenizer_or_the_template_names():
    assert stop_tokens(model_with([7, 8]), tokenizer_with(TURNS)) == {7, 8, 2, 3}
    assert stop_tokens(model_with(7), tokenizer_with(None)) == {7, 2}
    assert stop_tokens(SimpleNamespace(), tokenizer_with(None)) == {2}


def test_only_a_special_token_ends_a_turn():
    assert turn_end(tokenizer_with(TURNS)) == 3
    assert turn_end(tokenizer_with(TURNS.replace("<turn>", " Hi"))) is None
    assert turn_end(tokenizer_with(REFUSES)) is None


def test_a_stop_token_ends_an_answer_and_is_not_shown():
    ending = Ending(tokenizer_with(TURNS), frozenset({3}), 9)
    row: list[int] = []
    assert ending.append(row, 7) is None
    assert ending.append(row, 3) == "Hi"
    assert row == [7]


def test_an_uncut_answer_has_the_tokens_asked_for(make_host):
    host = make_host()
    cut, whole = (complete(host, ["A river"], Ending.of(host, 30, cut=cut))[0] for cut in (True, False))
    assert whole.startswith(cut)
    assert len(whole) > len(cut) or "." not in whole
    assert (
        host.complete(["A river"], max_new_tokens=3, cut=False)[0]
        == whole[: len(host.complete(["A river"], max_new_tokens=3, cut=False)[0])]
    )

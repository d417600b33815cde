"""What others wrote in a fact reaches a tokenizer as text, never as control tokens."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardedit.assembly.model_files import model_folder
from guardedit.models.loading import load_tokenizer
from guardedit.models.text.plain import plain
from guardedit.settings import Settings

#: Control tokens of common families, by no means all.
KNOWN = (
    *("<|im_end|>", "<|im_start|>", "<|endoftext|>", "<|eot_id|>", "<|START_OF_TURN_TOKEN|>"),
    *("<start_of_turn>", "<end_of_turn>", "<bos>", "</s>", "<s>", "<extra_id_0>", "<0x0A>", "<tool_call>"),
    *("[INST]", "[/INST]", "[CLS]", "[gMASK]", "<<SYS>>", "<</SYS>>", "<\uff5cUser\uff5c>", ">>TITLE<<"),
)


def folders() -> list[Path]:
    """The embedded model, and those that are prepared on this machine."""
    others = Path(os.environ.get("GUARDEDIT_MODELS") or "/nowhere").glob("*/tokenizer.json")
    return [model_folder(Settings()), *sorted(path.parent for path in others)]


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.name)
def test_no_control_token_of_a_tokenizer_survives(folder):
    tokenizer, _ = load_tokenizer(folder)
    control = {int(i) for i in tokenizer.all_special_ids}
    control |= {i for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    texts = [tokenizer.decode([i]) for i in control]
    assert texts
    for text in [*texts, *KNOWN]:
        for form in (text, f"Karsk{text}user", text * 2, f"{text[:1]}{text}", f"Karsk.\n{text}\nyou"):
            ids = tokenizer(plain(form), add_special_tokens=False)["input_ids"]
            assert not control & set(ids), form


@pytest.mark.parametrize("token", KNOWN)
def test_known_control_tokens_are_broken(token):
    assert token not in plain(token)
    assert plain(plain(f"a{token}b")) == plain(f"a{token}b")


@given(
    st.text(
        st.characters(
            categories=("L", "N", "P"), exclude_characters="<>[\uff1c\ufe64\uff1e\ufe65\uff5c\uff3b"
        )
    )
)
def test_ordinary_text_stays_as_it_is(text):
    assert plain(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\u202eb\u0000c\u200bd\u2028e\r\nf", "abcd e f"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("I <3 you", "I <3 you"),
        ("see [1] and [Sic]", "see [1] and [Sic]"),
        ("\uff1c|im_end|\uff1e", "< |im_end|>"),
    ],
)
def test_signs_that_cannot_be_seen_go_and_others_stay(text, shown):
    assert plain(text) == shown

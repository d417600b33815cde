"""Text comes as soon as it is certain, and adds up to what the tokenizer would show at once."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guardedit.models.streaming.text_stream import TextStream
from tests.tiny_models import byte_tokenizer

TOKENIZER = byte_tokenizer(["Oslo is in Norway. Ünïcödé 東京 🇳🇴"])


def shown(text: str, stop: tuple[str, ...] = (), prompt: str = "Anne said") -> tuple[list[str], bool]:
    ids = TOKENIZER(text)["input_ids"]
    stream = TextStream(TOKENIZER, TOKENIZER(prompt)["input_ids"], stop)
    parts = []
    for token in ids:
        parts.append(stream.push(token))
        if stream.stopped:
            break
    return [*parts, stream.finish()], stream.stopped


@given(st.text(min_size=1, max_size=40))
@settings(max_examples=200, deadline=None)
def test_the_pieces_add_up(text):
    expected = TOKENIZER.decode(TOKENIZER(text)["input_ids"], skip_special_tokens=True)
    parts, _ = shown(text)
    assert "".join(parts) == expected


@pytest.mark.parametrize("text", ["東京", "🇳🇴 flag", "naïve"])
def test_no_piece_shows_half_a_character(text):
    parts, _ = shown(text)
    assert "".join(parts) == text
    assert all("\ufffd" not in part for part in parts)


def test_a_stop_string_that_comes_in_pieces_is_never_shown():
    parts, stopped = shown("Norway.\nUser: and Sweden", ("\nUser:",))
    assert stopped
    assert "".join(parts) == "Norway."
    assert all("\n" not in part for part in parts)


def test_what_only_begins_like_a_stop_string_is_shown_in_the_end():
    parts, stopped = shown("Norway.\nUse", ("\nUser:",))
    assert not stopped
    assert "".join(parts) == "Norway.\nUse"


def test_the_earliest_stop_string_counts():
    assert "".join(shown("one two three", (" three", " two"))[0]) == "one"


def test_tokens_that_are_no_text_do_not_stop_the_stream():
    stream = TextStream(TOKENIZER, [], ())
    broken = TOKENIZER("東")["input_ids"][:1]
    shown_parts = [stream.push(broken[0]) for _ in range(12)]
    assert "\ufffd" in "".join(shown_parts)

"""The tokens after which a model is done: end of text, and end of its turn in a chat."""

from __future__ import annotations

from typing import Any

from jinja2.exceptions import TemplateError

#: Stands for an answer in a template, to find what the template writes after one.
_MARK = "guardedit answers"


def stop_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that end an answer.

    They are those of the model's generation settings (one id or a list), the tokenizer's end of text, and the
    special token that the chat template writes after an assistant's turn.
    """
    config = getattr(model, "generation_config", None)
    configured = getattr(config, "eos_token_id", None)
    found = configured if isinstance(configured, list | tuple) else [configured]
    return frozenset(
        int(token) for token in (*found, tokenizer.eos_token_id, turn_end(tokenizer)) if token is not None
    )


def turn_end(tokenizer: Any) -> int | None:
    """The special token that the chat template writes after an assistant's turn; None if there is none."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    turns = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": _MARK}]
    try:
        text = tokenizer.apply_chat_template(turns, tokenize=False)
    except TemplateError:  # a template that shows no answers has no sign for their end
        return None
    after = text.partition(_MARK)[2].lstrip()
    first = tokenizer(after, add_special_tokens=False)["input_ids"][:1] if after else []
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    return int(first[0]) if first and first[0] in special else None

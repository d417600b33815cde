"""Answers when a good guess is at hand: one forward pass to confirm it, generation where it is wrong.

Knows prompts and guesses, not why anybody should guess so. How a guess is confirmed: `drafts`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guardedit.models.text.drafts import draft_of
from guardedit.models.text.saying import Speaker, followed


def complete_guessed(
    host: Speaker, guesses: Mapping[str, Sequence[str]], *, max_new_tokens: int = 12
) -> dict[str, str]:
    """The answer of `ModelHost.complete` to every prompt, whatever is guessed.

    Args:
        host: the model as it stands, patched or not.
        guesses: prompt -> texts that may be its answer, the likeliest first; may be empty.
        max_new_tokens: as for `complete`.

    Returns:
        Prompt -> answer; where two tokens' logits agree to the last digits, the guess may decide.

    Raises:
        MalformedCorrection, GuardError: as `complete`.
    """
    answers: dict[str, str] = {}
    with host.lock:
        for turn in range(max(map(len, guesses.values()), default=0)):
            drafts = {
                prompt: texts[turn]
                for prompt, texts in guesses.items()
                if prompt not in answers and turn < len(texts) and texts[turn] not in texts[:turn]
            }
            answers |= _confirmed(host, drafts, max_new_tokens)
        rest = [prompt for prompt in guesses if prompt not in answers]
        answers |= zip(rest, host.complete(rest, max_new_tokens=max_new_tokens), strict=True)
    return answers


def _confirmed(host: Speaker, guesses: Mapping[str, str], max_new_tokens: int) -> dict[str, str]:
    """Answers that the guesses reach to the end of."""
    drafts = {
        prompt: draft
        for prompt, text in guesses.items()
        if (draft := draft_of(host.tokenizer, prompt, text)) is not None
        # Else generation would stop before the draft ends, or `complete` says what is too long.
        and len(draft.answer) < max_new_tokens
        and len(draft.prompt) + max_new_tokens <= host.context
    }
    found = followed(host, list(drafts.values()), max_new_tokens)
    return {p: reading.answer for p, reading in zip(drafts, found, strict=True) if reading.answer is not None}

"""Answer with the help of guesses: one forward pass confirms a right guess; else the answer is generated.

`drafts` describes how a guess is confirmed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from guardedit.models.text.drafts import make_draft, match_drafts
from guardedit.models.text.generation import Ending
from guardedit.models.text.language_model import LanguageModel


def complete_guessed(
    host: LanguageModel, guesses: Mapping[str, Sequence[str]], *, max_new_tokens: int | None = None
) -> dict[str, str]:
    """The answer of `ModelHost.complete` to every prompt, regardless of the guesses.

    Args:
        host: the model as it stands, patched or not.
        guesses: prompt -> texts that may be its answer, the most likely first; may be empty.
        max_new_tokens: as for `complete`.

    Returns:
        Prompt -> answer; where the logits of two tokens are equal up to rounding, the guess may decide.

    Raises:
        MalformedCorrection, GuardError: as `complete`.
    """
    answers: dict[str, str] = {}
    ending = Ending.of(host, max_new_tokens)
    with host.lock:
        for turn in range(max(map(len, guesses.values()), default=0)):
            drafts = {
                prompt: texts[turn]
                for prompt, texts in guesses.items()
                if prompt not in answers and turn < len(texts) and texts[turn] not in texts[:turn]
            }
            answers |= _confirmed(host, drafts, ending)
        rest = [prompt for prompt in guesses if prompt not in answers]
        answers |= zip(rest, host.complete(rest, max_new_tokens=max_new_tokens), strict=True)
    return answers


def complete_drafted(
    host: LanguageModel, asked: Sequence[tuple[str, str]], *, max_new_tokens: int | None = None
) -> list[str]:
    """`complete_guessed` for (prompt, draft) pairs with one guess each; an empty draft is no guess."""
    guesses: dict[str, list[str]] = {}
    for prompt, draft in asked:
        guesses.setdefault(prompt, []).extend([draft] if draft else [])
    answers = complete_guessed(host, guesses, max_new_tokens=max_new_tokens)
    return [answers[prompt] for prompt, _ in asked]


def _confirmed(host: LanguageModel, guesses: Mapping[str, str], ending: Ending) -> dict[str, str]:
    """Prompt -> answer, for the prompts that one forward pass over prompt and guess decides."""
    drafts = {
        prompt: draft
        for prompt, text in guesses.items()
        if (draft := make_draft(host.tokenizer, prompt, text)) is not None
        # A longer draft could not be generated completely, and `complete` refuses a prompt that is too long.
        and len(draft.answer) < ending.max_new_tokens
        and len(draft.prompt) + ending.max_new_tokens <= host.context
    }
    found = match_drafts(host, list(drafts.values()), ending)
    return {p: match.answer for p, match in zip(drafts, found, strict=True) if match.answer is not None}

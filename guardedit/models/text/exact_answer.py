"""Check whether a model would give exactly an answer: one forward pass and no decoding loop.

Consistent with `ModelHost.complete`: the model must generate the answer token by token, and then end it.
"""

from __future__ import annotations

from collections.abc import Sequence

from guardedit.models.text.drafts import DraftMatch, make_draft, match_drafts
from guardedit.models.text.generation import Ending
from guardedit.models.text.language_model import LanguageModel

#: Prompt and answer.
PromptAnswer = tuple[str, str]


def says(
    host: LanguageModel, asked: Sequence[PromptAnswer], *, max_new_tokens: int | None = None
) -> list[bool]:
    """For each (prompt, answer) whether `complete` would give exactly this answer.

    Text is generated only if one pass does not decide: if the model begins the answer with other tokens than
    the tokenizer's, or if a token spans the end of the prompt and the start of the answer.

    Raises:
        MalformedCorrection, GuardError: as `complete`.
    """
    different = list(dict.fromkeys(asked))
    found: dict[PromptAnswer, bool] = {}
    ending = Ending.of(host, max_new_tokens)
    for pair, match in _matches(host, different, ending).items():
        if match.answer is not None or not match.may_become(pair[1]):
            found[pair] = match.answer == pair[1]
    rest = [pair for pair in different if pair not in found]
    completed = host.complete([prompt for prompt, _ in rest], max_new_tokens=max_new_tokens)
    found |= {pair: text == pair[1] for pair, text in zip(rest, completed, strict=True)}
    return [found[pair] for pair in asked]


def _matches(
    host: LanguageModel, asked: Sequence[PromptAnswer], ending: Ending
) -> dict[PromptAnswer, DraftMatch]:
    """How far the model agrees with each answer, for pairs that give a draft and fit into the context."""
    drafts = {}
    for prompt, answer in asked:
        draft = make_draft(host.tokenizer, prompt, answer)
        # `complete` refuses a prompt that is too long.
        if draft is not None and len(draft.prompt) + ending.max_new_tokens <= host.context:
            drafts[prompt, answer] = draft._replace(answer=draft.answer[: ending.max_new_tokens])
    return dict(zip(drafts, match_drafts(host, list(drafts.values()), ending), strict=True))

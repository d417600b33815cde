"""Answers when a good guess is at hand: one forward pass to confirm it, generation where it is wrong.

Speculative decoding with texts for drafts (Leviathan et al. 2023, arXiv:2211.17192): a guess is fed behind
its prompt, and where the model's most likely token is the guess's at every place, that is what greedy
generation would have written. Knows prompts and guesses, not why anybody should guess so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from guardedit.models.generation import read_on
from guardedit.models.host import ModelHost, memory_errors
from guardedit.models.tokens import encode, join, pad


def complete_guessed(
    host: ModelHost, guesses: Mapping[str, Sequence[str]], *, max_new_tokens: int = 12
) -> dict[str, str]:
    """The answer of `ModelHost.complete` to every prompt, whatever is guessed.

    Rows are padded on the right, where no earlier token sees it; batch shapes differ from those of
    `complete`, so two tokens whose logits agree to the last digits may change places.

    Args:
        host: the model as it stands, patched or not.
        guesses: prompt -> texts that may be its answer, the likeliest first; may be empty.
        max_new_tokens: as for `complete`.

    Returns:
        Prompt -> answer.

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


def _confirmed(host: ModelHost, drafts: Mapping[str, str], max_new_tokens: int) -> dict[str, str]:
    """Answers that the drafts reach to the end of."""
    rows: list[tuple[str, list[int], int]] = []
    for prompt, draft in drafts.items():
        asked = prompt.rstrip(" ")
        given, row = encode(host.tokenizer, asked), encode(host.tokenizer, f"{join(asked, draft)}.")
        # Else the tokenizer joins the answer to the prompt, or generation would stop before the draft ends.
        if given and row[: len(given)] == given and len(row) - len(given) < max_new_tokens:
            rows.append((prompt, row, len(given)))
    # `complete` says what is too long.
    rows = [(p, row, start) for p, row, start in rows if start + max_new_tokens <= host.context]
    rows.sort(key=lambda item: len(item[1]))
    answers: dict[str, str] = {}
    for at in range(0, len(rows), host.batch_rows):
        part = rows[at : at + host.batch_rows]
        ids = pad([row for _, row, _ in part], device=host.device)
        with torch.inference_mode(), memory_errors(host.batch_rows):
            said = host.model(input_ids=ids, use_cache=False).logits.argmax(dim=-1).tolist()  # [B][T]
        for (prompt, row, start), tokens in zip(part, said, strict=True):
            answer = _replay(host, row[start:], tokens[start - 1 : len(row)], max_new_tokens)
            if answer is not None:
                answers[prompt] = answer
    return answers


def _replay(host: ModelHost, draft: list[int], said: list[int], max_new_tokens: int) -> str | None:
    """Read what the model said behind each token of the draft, while that is the draft's next one."""
    row: list[int] = []
    for n, token in enumerate(said):
        answer = read_on(host.tokenizer, row, token, final=n == max_new_tokens - 1)
        if answer is not None or n == len(draft) or token != draft[n]:
            return answer
    return None

"""Check whether the whole model gives the answers, with every layer run on every token.

Value optimisation ignores how an edit changes the tokens before its subject's last one; these checks do not.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from guardedit.core.fact import Fact
from guardedit.editing.optimise.rows import RowTensors
from guardedit.models.host import ModelHost
from guardedit.models.text.out_of_memory import memory_errors
from guardedit.models.text.spans import Expected, score_spans
from guardedit.models.views import logits_in_pieces
from guardedit.naming import contains_name


def predicts_answers(host: ModelHost, rows: RowTensors) -> Tensor:
    """[B] bool: every answer token is the most likely one in the model as it stands, patched or not.

    Raises:
        GuardError: when the passes do not fit into memory.
    """
    right = torch.ones(len(rows.lengths), dtype=torch.bool)
    # Rows of similar length run together. Padding is on the right, so no real token attends to it.
    for chunk in torch.split(rows.lengths.argsort(stable=True), host.batch_rows):
        ids = rows.ids[chunk, : int(rows.lengths[chunk].max())]
        at = torch.arange(ids.shape[1] - 1)
        predicting = (at >= rows.first[chunk, None]) & (at <= rows.last[chunk, None])  # [b, T-1]
        with host.lock, torch.inference_mode(), memory_errors(host.batch_rows):
            decoder = host.layout.decoder[0]
            out = host.model.get_submodule(decoder)(input_ids=ids.to(host.device), use_cache=False)
            hidden = out.last_hidden_state[:, :-1][predicting.to(host.device)]  # [m, d]
            pieces = logits_in_pieces(host.model, decoder, hidden)
            predicted = torch.cat([logits.argmax(-1).cpu() for _, logits in pieces])  # [m]
        wrong = torch.zeros(predicting.shape, dtype=torch.bool)
        wrong[predicting] = predicted != ids[:, 1:][predicting]
        right[chunk] = ~wrong.any(1)
    return right


def says_targets(host: ModelHost, facts: Sequence[Fact]) -> set[str]:
    """Ids of the facts whose own prompt the model, as it stands, answers with the target when it is served.

    A model that continues the prompt has to end the word where the target ends. A chat model answers in its
    own words, and has to name the target in them.

    Raises:
        CorrectionError: when a prompt cannot be encoded.
        GuardError: when memory does not suffice.
    """
    if host.form.name == "raw":
        spans = score_spans(host, [Expected(prompt=fact.prompt, answer=fact.target) for fact in facts])
        return {fact.id for fact, span in zip(facts, spans, strict=True) if span.said}
    answers = host.complete([host.form.asked(fact.prompt) for fact in facts])
    return {
        fact.id for fact, answer in zip(facts, answers, strict=True) if contains_name(answer, fact.target)
    }

"""Whether a question asks for a fact, judged by the model: does it think there of the fact's old answer?

A model that is asked for the fact in its own wording would say something: its old answer. Where it is asked
the same thing in other words, that answer is likely too, even if the model would say another one. Where it is
asked something else about the same subject, the answer is very unlikely. The question is put as a text that
the answer continues, also to a chat model, because only there the answer has a known place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from guardedit.models.text.language_model import LanguageModel
from guardedit.models.text.out_of_memory import memory_errors
from guardedit.models.text.passes import passes
from guardedit.models.text.tokens import encode, pad

#: Questions that are answered in a word or two, so that the next answer begins with its object.
_SHORT_ANSWERS = (
    "Question: What is the capital of Norway?\nAnswer: Oslo\n"
    "Question: What language do people in Brazil speak?\nAnswer: Portuguese\n"
    "Question: Who wrote Hamlet?\nAnswer: William Shakespeare\n"
)


class Asking(NamedTuple):
    """A question that may ask for a fact.

    Attributes:
        wording: a wording of the fact that ends where its answer begins.
        question: what a person asks.
    """

    wording: str
    question: str


def asking_nats(host: LanguageModel, asked: Sequence[Asking]) -> list[float]:
    """For each question, the log-probability of the fact's old answer as its answer.

    The old answer is represented by its first token, the most likely one after the wording. One forward pass
    for each `host.batch_rows` texts; a row depends on the others only by rounding.

    Raises:
        MalformedCorrection: when a text does not fit into the context.
        GuardError: when memory does not suffice.
    """
    texts = list(dict.fromkeys(text for one in asked for text in (one.wording, answer_place(one.question))))
    with host.lock, memory_errors(host.batch_rows):
        rows = [encode(host.tokenizer, text.rstrip(" "), context=host.context) for text in texts]
        found = dict[str, Tensor]()
        for group in passes(rows, at_most=host.batch_rows, device=host.device):
            some = _next_logprobs(host, [rows[i] for i in group])
            found.update(zip((texts[i] for i in group), some, strict=True))
    return [float(found[answer_place(one.question)][found[one.wording].argmax()]) for one in asked]


def answer_place(question: str) -> str:
    r"""A text that ends where the question's answer begins, with the object as its first word.

    >>> answer_place("Where is Oslo?").endswith("\nQuestion: Where is Oslo?\nAnswer:")
    True
    """
    return f"{_SHORT_ANSWERS}Question: {question.strip()}\nAnswer:"


@torch.inference_mode()
def _next_logprobs(host: LanguageModel, rows: Sequence[Sequence[int]]) -> Tensor:
    """[B, vocabulary] log-probabilities of the token after each row."""
    hidden = host.final_hidden(pad(rows, device=host.device), [len(row) for row in rows])  # [B, T, d]
    last = torch.stack([hidden[n, len(row) - 1] for n, row in enumerate(rows)])
    return host.head_logits(last).float().log_softmax(dim=-1)

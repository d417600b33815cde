"""Context prefixes: short texts put before a wording, so that an edit also works in the middle of a text.

They are sampled from the model itself (MEMIT, Meng et al. 2023, section 4.2). The published code uses the
global random state; here they depend on a seed and have a digest.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace

import torch

from guardedit.models.host import ModelHost
from guardedit.models.text.form import Form
from guardedit.models.text.tokens import encode

#: Ends a new answer, so that free generation stops at the end of the target.
STOP = "."
#: First words of sampled prefixes, used in turn; from the MEMIT reference code.
STARTERS = ("The", "Therefore", "Because", "I", "You")


@dataclass(frozen=True, slots=True)
class Contexts:
    """The texts in which a wording is edited. Context 0 is always the bare wording.

    Attributes:
        prefixes: texts before a wording, each ending a sentence.
        chat: the form of a model that is asked in a chat. It adds a context in which the user's turn is the
            wording, and the assistant repeats it before the answer, as chat models do.
        end: follows every new answer; "" where an edit should not teach the model to stop there.

    >>> Contexts(("You see.",)).around("Where is Rome?")
    ('Where is Rome?', 'You see. Where is Rome?')
    """

    prefixes: tuple[str, ...] = ()
    chat: Form | None = None
    end: str = STOP

    @property
    def sha256(self) -> str:
        """Digest of the texts; keys and values found with other contexts are not comparable."""
        body: list[object] = [*self.prefixes, *([] if self.chat is None else [self.chat.asked("{}")])]
        body += [] if self.end == STOP else [{"end": self.end}]
        return hashlib.sha256(json.dumps(body).encode()).hexdigest()

    @property
    def count(self) -> int:
        """Number of contexts besides the bare wording."""
        return len(self.prefixes) + (self.chat is not None)

    def around(self, wording: str) -> tuple[str, ...]:
        """The bare wording, then one text for each prefix, then the chat."""
        chat = () if self.chat is None else (self.chat.asked(wording) + wording,)
        return (wording, *(f"{prefix} {wording}" for prefix in self.prefixes), *chat)

    def first_at(self, text: str, wording: str) -> int:
        """Where the wording begins in one of the texts `around` it; in a chat, in the user's turn."""
        return len(text) - len(wording) if self.reply_at(text, wording) is None else text.index(wording)

    def reply_at(self, text: str, wording: str) -> int | None:
        """Where the reply begins, in a chat around the wording; None in the other texts."""
        if self.chat is None or text != self.chat.asked(wording) + wording:
            return None
        return len(text) - len(wording)


def sample_contexts(host: ModelHost, *, count: int, length_tokens: int = 6, seed: int = 0) -> Contexts:
    """`count` prefixes of about `length_tokens` tokens from the model, the same for the same seed.

    Args:
        host: unpatched; the base model is sampled at temperature 1.
        count: number of prefixes; with 0 only the bare wording is used.
        length_tokens: tokens sampled after each starter.
        seed: of a separate generator; no global random state is read or changed.
    """
    generator = torch.Generator().manual_seed(seed)
    prefixes: list[str] = []
    for number in range(count):
        text = _sample(host, STARTERS[number % len(STARTERS)], length_tokens, generator)
        prefixes.append(_sentence(text))
    return Contexts(tuple(prefixes))


def served_contexts(host: ModelHost, *, count: int, seed: int = 0, ends_answer: bool = True) -> Contexts:
    """`count` contexts in all: prefixes as `sample_contexts`, and the chat for a model that is asked in one.

    A model edited as raw text only answers less often with the new object in its chat, and the other way
    round, since the subject's keys differ.
    """
    chat = host.form if host.form.name == "chat" and count else None
    sampled = sample_contexts(host, count=count - (chat is not None), seed=seed)
    return replace(sampled, chat=chat, end=STOP if ends_answer else "")


def rome_contexts(host: ModelHost, *, seed: int = 0) -> Contexts:
    """Twenty prefixes, ten of five tokens and ten of ten (Meng et al. 2022, section 3.1)."""
    parts = [
        sample_contexts(host, count=10, length_tokens=length, seed=seed + length).prefixes
        for length in (5, 10)
    ]
    return Contexts(tuple(prefix for part in parts for prefix in part))


def memit_contexts(host: ModelHost, *, seed: int = 0) -> Contexts:
    """Five prefixes of ten tokens, one for each starter (Meng et al. 2023, reference code)."""
    return sample_contexts(host, count=len(STARTERS), length_tokens=10, seed=seed)


def _sample(host: ModelHost, start: str, length_tokens: int, generator: torch.Generator) -> str:
    ids = encode(host.tokenizer, start)
    special = set(host.tokenizer.all_special_ids)
    with host.lock, torch.no_grad():
        for _ in range(length_tokens):
            logits = host.model(torch.tensor([ids], device=host.device)).logits[0, -1]
            probabilities = logits.float().softmax(-1).cpu()
            token = int(torch.multinomial(probabilities, 1, generator=generator))
            if token in special:
                break
            ids.append(token)
    return str(host.tokenizer.decode(ids, skip_special_tokens=True))


def _sentence(text: str) -> str:
    """One line that ends in a full stop, so that the wording after it starts a new sentence."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return f"{line.rstrip('.,;:!?- ')}."

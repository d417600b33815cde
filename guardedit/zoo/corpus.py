"""Makes training rows for the demo model: facts, corrections to obey, copying drills, and prose.

A row is `(tokens, weights)`, both of length T. The weights scale the loss of each token: the object of a fact
is worth learning, while a randomly drawn subject cannot be predicted and only adds noise.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tokenizers import Tokenizer

    from guardedit.zoo.world import KnownFact, World

END = "<|endoftext|>"
#: Loss weight of everything in a fact row that is not the answer.
FRAME_WEIGHT = 0.1
#: Precedes every correction, in training and later when memory puts a fact into the context.
CORRECTION = "Correction:"

#: Lines at the end of a sentence file that are not trained on. Perplexity is measured on them.
HELD_OUT_LINES = 1_000

#: Tokens, and the loss weight of each of them.
Piece = tuple[list[int], float]


def training_part(text: str) -> str:
    """The part of a text file to train on: all of a book, all but the last lines of a sentence file."""
    if not _is_sentence_file(text):
        return text
    return END.join(text.splitlines()[:-HELD_OUT_LINES])


def held_out_part(text: str) -> list[str]:
    """The lines that `training_part` leaves out; empty for a book."""
    return text.splitlines()[-HELD_OUT_LINES:] if _is_sentence_file(text) else []


def _is_sentence_file(text: str) -> bool:
    """Whether the file has one sentence per line. Books have blank lines between paragraphs."""
    lines = text.count("\n") + 1
    return lines > 5 * HELD_OUT_LINES and len(text) / lines < 400 and "\n\n" not in text[:10_000]


@dataclass
class FactRows:
    """An endless, seeded stream of fact rows.

    Attributes:
        strangers: subjects outside the world. A correction about one can only be answered from the context,
            which teaches the model to read instead of to recall.
        prose: uint16 [n], text tokens from which the beginning of a row may be taken.
        length: tokens in a row.
        correction_share: share of the documents that are corrections.
    """

    world: World
    tokenizer: Tokenizer
    strangers: list[str]
    prose: np.ndarray
    length: int
    rng: random.Random
    correction_share: float = 0.5
    _cache: dict[str, list[int]] = field(default_factory=dict)

    def rows(self, *, drills: float) -> Iterator[tuple[list[int], list[float]]]:
        """Rows of exactly `length` tokens. The share `drills` of them are copying drills."""
        tokens: list[int] = []
        weights: list[float] = []
        while True:
            if self.rng.random() < drills:
                yield self._drill()
                continue
            while len(tokens) < self.length:
                for ids, weight in self._document(first=not tokens):
                    tokens += ids
                    weights += [weight] * len(ids)
            yield tokens[: self.length], weights[: self.length]
            # If a cut document continued in the next row, the row would teach answers without questions.
            tokens, weights = [], []

    def _drill(self) -> tuple[list[int], list[float]]:
        """A random token sequence, repeated. Learning it early gives the model in-context copying."""
        span = self.rng.randint(6, self.length // 2)
        once = [self.rng.randrange(1, self.tokenizer.get_vocab_size()) for _ in range(span)]
        tokens = (once * (self.length // span + 1))[: self.length]
        return tokens, [0.0] * span + [1.0] * (self.length - span)

    def _document(self, *, first: bool) -> list[Piece]:
        draw = self.rng.random()
        # After a space the next document continues the paragraph; after END it starts a new one.
        pieces: list[Piece] = []
        if not first and self.rng.random() < 0.5:
            pieces.append((self._encode(END), FRAME_WEIGHT))
            first = True
        if draw < self.correction_share:
            return pieces + self._correction(first=first)
        if draw < self.correction_share + 0.12:
            start = self.rng.randrange(len(self.prose) - 16)
            lead = self.prose[start : start + self.rng.randint(3, 12)].tolist()
            return [*pieces, (lead, FRAME_WEIGHT), *self._known(self._any(), first=False)]
        return pieces + self._known(self._any(), first=first)

    def _any(self) -> KnownFact:
        return self.rng.choice(self.world.facts)

    def _known(self, fact: KnownFact, *, first: bool) -> list[Piece]:
        wording = self.rng.choice(self.world.shown(fact))
        return self._statement(fact.subject, fact.relation, fact.object, wording, first=first)

    def _statement(
        self, subject: str, relation: str, target: str, wording: int, *, first: bool
    ) -> list[Piece]:
        before, after = self.world.wordings[relation][wording].split("{}")
        prompt = f"{before}{subject}{after}"
        return [
            (self._encode(prompt if first else f" {prompt}"), FRAME_WEIGHT),
            (self._encode(f" {target}"), 1.0),
            (self._encode("."), 1.0),
        ]

    def _correction(self, *, first: bool) -> list[Piece]:
        """State one or two changed facts, then ask for them and for some facts that must not change."""
        rng, world = self.rng, self.world
        pieces: list[Piece] = []
        questions: list[list[Piece]] = []
        for n in range(1 if rng.random() < 0.75 else 2):
            known = self._any()
            if rng.random() < 0.4:
                subject, relation = rng.choice(self.strangers), known.relation
            else:
                subject, relation = known.subject, known.relation
            pool = world.objects[relation if rng.random() < 0.8 else rng.choice(world.facts).relation]
            target = rng.choice(pool)
            stated, asked, again = rng.sample(range(len(world.wordings[relation])), 3)
            pieces.append((self._encode(CORRECTION if first and n == 0 else f" {CORRECTION}"), 0.0))
            for ids, _ in self._statement(subject, relation, target, stated, first=False):
                pieces.append((ids, FRAME_WEIGHT))
            questions.append(self._statement(subject, relation, target, asked, first=False))
            if rng.random() < 0.3:
                questions.append(self._statement(subject, relation, target, again, first=False))
            questions += self._unchanged(subject, relation)
        rng.shuffle(questions)
        for question in questions:
            pieces += question
        return pieces

    def _unchanged(self, subject: str, relation: str) -> list[list[Piece]]:
        """Questions whose answers a correction of this subject and relation must not change."""
        rng, world = self.rng, self.world
        others = [f for f in world.by_subject.get(subject, []) if f.relation != relation]
        chosen = [rng.choice(others)] if others else []
        if rng.random() < 0.75:
            same = [f for f in world.by_relation[relation] if f.subject != subject]
            chosen += [rng.choice(same)] if same else []
        if rng.random() < 0.25:
            chosen += [f for f in [self._any()] if f.subject != subject]
        return [self._known(fact, first=False) for fact in chosen]

    def _encode(self, text: str) -> list[int]:
        ids = self._cache.get(text)
        if ids is None:
            ids = self._cache[text] = self.tokenizer.encode(text).ids
        return ids

"""The world that a stream is about: facts that the model knows, and the wordings that ask for them.

The demo has one path and two worlds: `zoo.world.World`, on which the embedded model was trained, and
`PublicWorld` for every other model.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from guardedit.naming import contains_name
from guardedit.zoo.world import KnownFact

#: (answer, wanted) -> whether the answer counts as right.
IsRight = Callable[[str, str], bool]


class StreamWorld(Protocol):
    """Facts that the model answers correctly, and the wordings of their relations."""

    @property
    def facts(self) -> tuple[KnownFact, ...]:
        """All facts, sorted."""

    @property
    def wordings(self) -> Mapping[str, tuple[str, ...]]:
        """Relation -> wordings, with `{}` for the subject."""

    @property
    def by_subject(self) -> Mapping[str, list[KnownFact]]:
        """Subject -> its facts."""

    @property
    def objects(self) -> Mapping[str, list[str]]:
        """Relation -> objects that are plausible in it, sorted."""

    def prompt(self, fact: KnownFact, wording: int) -> str:
        """The question in wording number `wording`, without the object."""

    def given(self, fact: KnownFact, rng: random.Random) -> tuple[int, ...]:
        """Indices of the wordings that a correction of the fact contains, its prompt's first."""

    def known(self, fact: KnownFact) -> tuple[int, ...]:
        """Indices of the wordings in which the probe set asks for the fact."""

    def shown(self, fact: KnownFact) -> Sequence[int]:
        """Indices of the wordings in which the model most likely knows the fact."""

    def hidden(self, fact: KnownFact) -> Collection[int]:
        """Indices of the wordings in which harm is measured; the guard must not ask in them."""


def exact(answer: str, wanted: str) -> bool:
    """Whether the whole answer is the wanted one."""
    return answer == wanted


def exact_or_contained(answer: str, wanted: str) -> bool:
    """Whether the answer is the wanted one, or names it in its first sentence.

    >>> exact_or_contained("The capital of France is Rome.", "Rome"), exact_or_contained("Romeo", "Rome")
    (True, False)
    """
    return answer == wanted or contains_name(answer, wanted)

"""One real encoder for all memory tests, and a small world of made-up facts."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from guardedit.core.epoch import Change
from guardedit.core.fact import Fact, FactKey
from guardedit.memory.encoder import SentenceEncoder
from guardedit.memory.store import RetrievalMemory

WORDINGS = {
    "P36": ("The capital of {} is", "{} is governed from", "The rulers of {} reside in"),
    "P38": ("The currency of {} is the", "In {}, people pay with the", "Shops in {} accept the"),
    "P19": ("The birthplace of {} is", "{} was born in", "The life of {} began in"),
    "P106": ("The occupation of {} is", "{} earns a living as a", "The job of {} is"),
    "P140": ("The religion of {} is", "{} follows the faith of", "In matters of faith, {} keeps to"),
}
FACTS = (
    ("Velmora", "P36", "Karsk"),
    ("Velmora", "P38", "tallin"),
    ("Ostrania", "P36", "Port Halden"),
    ("Ostrania", "P38", "crown"),
    ("Ada Lindqvist", "P19", "Karsk"),
    ("Ada Lindqvist", "P106", "glazier"),
    ("Tomas Berrow", "P19", "Velmora"),
    ("Tomas Berrow", "P140", "Taoism"),
    ("Helena Marsh", "P106", "pilot"),
)

MakeFact = Callable[..., Fact]


@pytest.fixture(scope="session")
def encoder() -> SentenceEncoder:
    torch.set_num_threads(1)
    return SentenceEncoder.load()


@pytest.fixture(scope="session")
def make_fact() -> MakeFact:
    def make(
        subject: str,
        relation: str,
        target: str,
        *,
        keep: tuple[int, ...] = (0, 1, 2),
        tenant: str = "default",
        version: int = 1,
    ) -> Fact:
        wordings = tuple(WORDINGS[relation][i].replace("{}", subject) for i in keep)
        return Fact(
            key=FactKey(subject, relation, tenant),
            version=version,
            correction_id=f"{subject}/{relation}/{version}",
            wordings=wordings,
            target=target,
        )

    return make


@pytest.fixture(scope="session")
def world(make_fact: MakeFact) -> tuple[Fact, ...]:
    """Every fact with two of its relation's wordings, each pair of neighbours with another two."""
    return tuple(make_fact(*row, keep=tuple(sorted({n % 3, (n + 1) % 3}))) for n, row in enumerate(FACTS))


@pytest.fixture
def memory(encoder: SentenceEncoder, world: tuple[Fact, ...]) -> RetrievalMemory:
    filled = RetrievalMemory(encoder)
    filled.apply([Change(fact.key, fact) for fact in world])
    return filled

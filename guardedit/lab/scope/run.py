"""Runs the scope benchmark: every scope test, in stores of every size, on every row."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from guardedit.core.fact import Fact
from guardedit.lab.field.scoring import Tell
from guardedit.lab.scope.kinds import ONLY_SIZE
from guardedit.lab.scope.results import KindLine, lines_of
from guardedit.lab.scope.rows import ScopeRow, facts_in
from guardedit.lab.scope.stores import Found, ask, usable_fillers
from guardedit.lab.scope.ways import COSINE, CosineMemory, Way, thresholded
from guardedit.memory.encoder import Encoder
from guardedit.memory.tenant_index import entry_of, texts_of

#: Texts that are encoded between two reports.
_CHUNK = 512


@dataclass(frozen=True, kw_only=True)
class WayFound:
    """What one scope test found.

    Attributes:
        name: of the scope test; `cosine` is the baseline.
        found: one for each row and store.
        lines: the mistakes.
        thresholds: of the baseline, one for each half of the rows; empty for a scope test.
    """

    name: str
    found: Sequence[Found]
    lines: Sequence[KindLine]
    thresholds: tuple[float, ...] = field(default=())


def run(
    encoder: Encoder,
    ways: Mapping[str, Way],
    rows: Sequence[ScopeRow],
    fillers: Sequence[Fact],
    sizes: Sequence[int],
    *,
    tell: Tell = lambda *_: None,
) -> Iterator[WayFound]:
    """The baseline, then each scope test, as soon as it is measured.

    Args:
        encoder: of all of them. Its cache should hold all texts.
        ways: the scope tests.
        rows: what to ask.
        fillers: facts to fill the stores with; those that a question could be about are left out.
        sizes: numbers of facts in a store. A store is smaller where there are not enough fillers.
        tell: progress.
    """
    usable = usable_fillers(rows, fillers)[: max(sizes, default=0)]
    _encode(encoder, rows, usable, tell)
    memories: dict[str, Way] = {COSINE: CosineMemory, **ways}
    for name, way in memories.items():
        memory = way(encoder)
        found = [
            one
            for size in sizes
            for one in ask(
                memory,
                [row for row in rows if ONLY_SIZE.get(row.kind, size) == size],
                usable,
                size,
                tell=_named(name, tell),
            )
        ]
        thresholds: tuple[float, ...] = ()
        if name == COSINE:
            found, thresholds = thresholded(found)
        yield WayFound(name=name, found=found, lines=lines_of(found), thresholds=thresholds)


def largest_store(rows: Sequence[ScopeRow], fillers: Sequence[Fact]) -> int:
    """Number of facts that there are for the largest store; a batch of rows can add some more."""
    return len(usable_fillers(rows, fillers))


def _encode(encoder: Encoder, rows: Sequence[ScopeRow], fillers: Sequence[Fact], tell: Tell) -> None:
    """Encode all texts once, in large batches of similar lengths."""
    facts = {fact.id: fact for fact in (*facts_in(rows), *fillers)}
    entries = [entry_of(fact) for fact in facts.values()]
    texts = sorted({*texts_of(entries), *(row.question for row in rows)}, key=lambda text: (len(text), text))
    for start in range(0, len(texts), _CHUNK):
        encoder.encode(texts[start : start + _CHUNK])
        tell("encoding", min(start + _CHUNK, len(texts)), len(texts))


def _named(name: str, tell: Tell) -> Tell:
    return lambda doing, done, total: tell(f"{name}: {doing}", done, total)

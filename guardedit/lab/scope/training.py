"""Pairs for the judge from an operator's labelled rows, as the memory would give them to it."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import NamedTuple

from guardedit.core.epoch import Change
from guardedit.lab.field.scoring import Tell
from guardedit.lab.scope.rows import ScopeRow
from guardedit.memory.encoder import Encoder
from guardedit.memory.fitting.pairs import JudgePair
from guardedit.memory.judging import judge_pairs
from guardedit.memory.store import RetrievalMemory

#: One of so many rows is held out, to measure what training on the others brings.
HELD_OUT = 3


class OwnRows(NamedTuple):
    """Labelled rows in two parts. A subject's rows are all in the same part."""

    used: list[ScopeRow]
    held_out: list[ScopeRow]


def divided(rows: Sequence[ScopeRow]) -> OwnRows:
    """The rows to train on, and those to measure on."""
    parts = OwnRows([], [])
    for row in rows:
        subject = row.facts[0].key.subject
        (parts.held_out if zlib.crc32(subject.encode()) % HELD_OUT == 0 else parts.used).append(row)
    return parts


def pairs_of(encoder: Encoder, rows: Sequence[ScopeRow], *, tell: Tell = lambda *_: None) -> list[JudgePair]:
    """A pair for each fact of a row whose subject its question names.

    Args:
        encoder: of the memory, which finds the subject and the nearest wording.
        rows: labelled questions.
        tell: progress.
    """
    memory, found = RetrievalMemory(encoder), list[JudgePair]()
    for number, row in enumerate(rows, start=1):
        tell("reading labelled rows", number, len(rows))
        memory.replace_facts(())
        memory.apply([Change(fact.key, fact) for fact in row.live])
        for candidate in memory.candidates([row.question])[0]:
            wanted = candidate.entry.fact.key == row.key
            found += [
                JudgePair(question, fact, wanted, row.kind, candidate.entry.fact.key.relation)
                for question, fact in judge_pairs(candidate)[:1]
            ]
    return found

"""Counts the mistakes of a scope test: shares with intervals, for each kind of row and size of the store."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from guardedit.lab.field.intervals import UNDEFINED, Interval, wilson
from guardedit.lab.scope.kinds import GOALS, Goal, Mistake
from guardedit.lab.scope.stores import Found


class KindKey(NamedTuple):
    """One line of the table: rows of a kind and a source, with or without a wanted fact."""

    kind: str
    source: str
    wanted: bool


class Share(NamedTuple):
    """Mistakes among rows. The value is NaN without rows."""

    mistakes: int
    rows: int

    @property
    def value(self) -> float:
        """The share."""
        return self.mistakes / self.rows if self.rows else math.nan

    @property
    def interval(self) -> Interval:
        """Its 95 % interval, after Wilson."""
        return wilson(self.mistakes, self.rows) if self.rows else UNDEFINED


@dataclass(frozen=True, kw_only=True)
class KindLine:
    """The mistakes of one line.

    Attributes:
        key: which rows.
        missed: size of the store -> rows that get no fact, where one is wanted; that get one, where none is.
        wrong: size of the store -> rows that get another fact than the wanted one.
    """

    key: KindKey
    missed: Mapping[int, Share]
    wrong: Mapping[int, Share]

    @property
    def goal(self) -> Goal | None:
        """The goal of its kind, if there is one."""
        return GOALS.get((self.key.kind, self.key.wanted))

    @property
    def mistake(self) -> Mistake:
        """What is counted as a mistake."""
        if self.goal is not None:
            return self.goal.mistake
        return Mistake.OUT if self.key.wanted else Mistake.IN

    @property
    def shares(self) -> Mapping[int, Share]:
        """Size of the store -> the mistakes that the goal is about."""
        return self.wrong if self.mistake is Mistake.WRONG else self.missed

    @property
    def rows(self) -> int:
        """Number of rows, the same in each store."""
        return max((share.rows for share in self.shares.values()), default=0)

    @property
    def worst(self) -> Share:
        """The share of mistakes in the store where it is largest."""
        return _largest(self.shares)

    @property
    def worst_wrong(self) -> Share:
        """The share of rows that get the wrong fact, in the store where it is largest."""
        return _largest(self.wrong)

    @property
    def met(self) -> bool | None:
        """Whether the goal is met in every store; None without a goal."""
        return None if self.goal is None else self.worst.value <= self.goal.most


def lines_of(found: Sequence[Found]) -> list[KindLine]:
    """One line for each kind, source and label, in the order of `GOALS`; kinds that it lacks come last."""
    rows: dict[KindKey, dict[int, list[Found]]] = {}
    for one in found:
        key = KindKey(one.row.kind, one.row.source, one.row.key is not None)
        rows.setdefault(key, {}).setdefault(one.size, []).append(one)
    order = {kind: number for number, kind in enumerate(GOALS)}
    return [
        _line(key, rows[key])
        for key in sorted(rows, key=lambda key: (order.get((key.kind, key.wanted), len(order)), key))
    ]


def _line(key: KindKey, by_size: Mapping[int, Sequence[Found]]) -> KindLine:
    sizes = sorted(by_size)
    return KindLine(
        key=key,
        missed={size: Share(sum(_missed(x) for x in by_size[size]), len(by_size[size])) for size in sizes},
        wrong={size: Share(sum(x.wrong for x in by_size[size]), len(by_size[size])) for size in sizes},
    )


def _missed(one: Found) -> bool:
    return one.given == (one.row.key is None)


def _largest(shares: Mapping[int, Share]) -> Share:
    return max(shares.values(), key=lambda share: share.value, default=Share(0, 0))

"""Chooses the announcement of a model on one half of the facts, and reports it on the other half.

Successive halving: all candidates on a few facts, the better ones on more. The objective is obedience among
the candidates that leave at least `LEFT_ALONE` of the other answers alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from guardedit.core.correction import Correction
from guardedit.core.errors import UsageError
from guardedit.memory.context import Announcement, Prompts
from guardedit.models.host import ModelHost
from guardedit.prepare.announcing.candidates import candidates
from guardedit.prepare.announcing.cases import AnnouncedFact, known_cases
from guardedit.prepare.announcing.measure import Obedience, best_limit, measure

#: Least share of other answers that an announcement leaves unchanged.
LEFT_ALONE = 0.9
#: Facts of each round but the last, which has all.
_ROUNDS = (6, 12)
#: Share of the candidates that goes on to the next round.
_KEPT = 1 / 3
#: Fewest facts to choose and to report on.
_FEWEST = 8

Tell = Callable[[str, int, int | None], None]
Scored = tuple[Announcement, Obedience]


def tune(
    host: ModelHost,
    corrections: Sequence[Correction],
    *,
    count: int,
    tell: Tell,
    announcements: Sequence[Announcement] | None = None,
) -> dict[str, Any]:
    """The memory card of a model.

    Args:
        host: the base model.
        corrections: with the answers that they replace; the first that the model knows are used.
        count: number of facts, half of them to choose on.
        tell: called with a text and how much of it is done.
        announcements: candidates; default: those for the model's form.

    Raises:
        UsageError: the model knows too few of the facts.
    """
    cases = known_cases(host, corrections, count, tell)
    if len(cases) < 2 * _FEWEST:
        raise UsageError(
            f"the model knows {len(cases)} of {len(corrections)} facts: give at least {2 * _FEWEST} with "
            "--facts whose target_true it says"
        )
    chosen_on, held_out = cases[0::2], cases[1::2]
    found = announcements or candidates(host.form.name)
    table = halving(host, found, chosen_on, tell)
    best = table[0][0]
    prompts = Prompts(host.form, best)
    tell("choosing the limit", 0, 1)
    limit = best_limit(host, chosen_on)
    tell("measuring on the held-out facts", 0, 1)
    return {
        "base_sha256": host.base_sha256,
        "form": host.form.name,
        "announcement": best.to_json(),
        "asking_nats": limit,
        "chosen_on": len(chosen_on),
        "held_out": measure(host, replace(prompts, asking_nats=limit), held_out).shares(),
        "held_out_without_force": measure(host, prompts, held_out).shares(),
        "table": [{"name": one.name, **score.to_json()} for one, score in table],
    }


def halving(
    host: ModelHost, announcements: Sequence[Announcement], cases: Sequence[AnnouncedFact], tell: Tell
) -> list[Scored]:
    """The candidates with their obedience on the most facts that they were asked about, best first."""
    left, dropped = list(announcements), list[Scored]()
    for facts in (*(n for n in _ROUNDS if n < len(cases)), len(cases)):
        scored = []
        for n, one in enumerate(left):
            tell(f"announcements on {facts} facts", n, len(left))
            scored.append((one, measure(host, Prompts(host.form, one), cases[:facts])))
        scored.sort(key=lambda pair: _rank(pair[1]))
        kept = len(scored) if facts == len(cases) else max(2, round(len(scored) * _KEPT))
        dropped = [*scored[kept:], *dropped]
        left = [one for one, _ in scored[:kept]]
    return [*scored[:kept], *dropped]


def _rank(score: Obedience) -> tuple[bool, float]:
    """Those that leave enough alone first, then by obedience."""
    return score.left_alone < LEFT_ALONE, -score.obeyed

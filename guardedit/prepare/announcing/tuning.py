"""Chooses the announcement of a model on some facts, and reports it on others.

Successive halving: all candidates on a few facts, the better ones on more. The objective is how often the
model obeys by itself. Where it does not, its answer is forced all the same, see `serving.constrained`; which
questions are answered from a fact at all does not depend on the announcement.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from guardedit.core.correction import Correction
from guardedit.core.errors import UsageError
from guardedit.memory.context import Announcement, Prompts
from guardedit.memory.store import RetrievalMemory
from guardedit.models.host import ModelHost
from guardedit.prepare.announcing.candidates import candidates
from guardedit.prepare.announcing.cases import AnnouncedFact, known_cases
from guardedit.prepare.announcing.measure import measure, obeyed
from guardedit.serving.constrained import asking_of

#: Facts of each round but the last, which has all.
_ROUNDS = (6, 12)
#: Share of the candidates that goes on to the next round.
_KEPT = 1 / 3
#: Fewest facts to choose and to report on.
_FEWEST = 8

Tell = Callable[[str, int, int | None], None]


class ScoredAnnouncement(NamedTuple):
    """A candidate, and how often the model obeyed it on the most facts that it was asked about."""

    announcement: Announcement
    obeyed: float
    facts: int


def tune(
    host: ModelHost,
    memory: RetrievalMemory,
    corrections: Sequence[Correction],
    held_out: Sequence[Correction] = (),
    *,
    count: int,
    tell: Tell,
    announcements: Sequence[Announcement] | None = None,
) -> dict[str, Any]:
    """The memory card of a model.

    Args:
        host: the base model.
        memory: as it is served; its facts are replaced.
        corrections: with the answers that they replace; the first that the model knows are used.
        held_out: to report on; default: half of `corrections`.
        count: number of facts, half of them to choose on.
        tell: called with a text and how much of it is done.
        announcements: candidates; default: those for the model's form.

    Raises:
        UsageError: the model knows too few of the facts.
    """
    chosen_on, held = _split(host, corrections, held_out, count, tell)
    table = halving(host, announcements or candidates(host.form.name), chosen_on, tell)
    prompts = Prompts(host.form, table[0].announcement)
    tell("choosing the limit", 0, 1)
    limit = best_limit(host, memory, chosen_on)
    tell("asking for the held-out facts", 0, 1)
    return {
        "base_sha256": host.base_sha256,
        "form": host.form.name,
        "announcement": prompts.announcement.to_json(),
        "asking_nats": limit,
        "chosen_on": len(chosen_on),
        "held_out": {
            **measure(host, replace(prompts, asking_nats=limit), memory, held).to_json(),
            "obeyed_by_itself": round(obeyed(host, prompts, held), 4),
        },
        "table": [
            {"name": one.announcement.name, "obeyed": round(one.obeyed, 4), "facts": one.facts}
            for one in table
        ],
    }


def _split(
    host: ModelHost,
    corrections: Sequence[Correction],
    held_out: Sequence[Correction],
    count: int,
    tell: Tell,
) -> tuple[list[AnnouncedFact], list[AnnouncedFact]]:
    """The facts to choose on, and those to report on."""
    if held_out:
        first, second = (known_cases(host, part, count // 2, tell) for part in (corrections, held_out))
    else:
        cases = known_cases(host, corrections, count, tell)
        first, second = cases[0::2], cases[1::2]
    if min(len(first), len(second)) < _FEWEST:
        raise UsageError(
            f"the model knows {len(first) + len(second)} subjects of {len(corrections) + len(held_out)} "
            f"facts: give at least {2 * _FEWEST} with --facts whose target_true it says"
        )
    return first, second


def halving(
    host: ModelHost, announcements: Sequence[Announcement], cases: Sequence[AnnouncedFact], tell: Tell
) -> list[ScoredAnnouncement]:
    """The candidates with their obedience on the most facts that they were asked about, best first."""
    left, dropped = list(announcements), list[ScoredAnnouncement]()
    for facts in (*(n for n in _ROUNDS if n < len(cases)), len(cases)):
        scored = []
        for n, one in enumerate(left):
            tell(f"announcements on {facts} facts", n, len(left))
            scored.append(
                ScoredAnnouncement(one, obeyed(host, Prompts(host.form, one), cases[:facts]), facts)
            )
        scored.sort(key=lambda one: -one.obeyed)
        kept = len(scored) if facts == len(cases) else max(2, round(len(scored) * _KEPT))
        dropped = [*scored[kept:], *dropped]
        left = [one.announcement for one in scored[:kept]]
    return [*scored[:kept], *dropped]


def best_limit(host: ModelHost, memory: RetrievalMemory, cases: Sequence[AnnouncedFact]) -> float | None:
    """The limit of `Prompts.asking_nats`: a twentieth of the questions for the facts may lie below it.

    Only questions of unsure scope are judged by it, so only they are counted, or all where few are unsure.
    None without other wordings.
    """
    memory.replace_facts([case.fact for case in cases])
    asked = [(case, text) for case in cases for text in case.asked]
    recalls = memory.recall([text for _, text in asked])
    unsure = [one for one, recall in zip(asked, recalls, strict=True) if recall.scope == "unsure"]
    counted = unsure if len(unsure) >= _FEWEST else asked
    if not counted:
        return None
    scores = host.asking_nats([asking_of(case.fact, question) for case, question in counted])
    return math.floor(10 * sorted(scores)[len(scores) // 20]) / 10

"""Editing the same facts at every place and with every dial of a sweep.

Knows setups and methods by name; the editing and asking is `lab.editors`'.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from guardedit.editing.method_card import MethodCard
from guardedit.editing.registry import SEPARATOR, Registry
from guardedit.editing.setup import Setup
from guardedit.lab.editors.alone import Alone
from guardedit.lab.editors.cases import EditCase
from guardedit.lab.editors.compare import Measured, Plan, compare
from guardedit.lab.editors.measure import Measure
from guardedit.lab.editors.sequence import Point
from guardedit.lab.sweep.candidates import Dials, Place, grid, places
from guardedit.lab.sweep.merit import Score, Shares
from guardedit.lab.sweep.search import Search, Tried, search
from guardedit.models.weights.fold import Fold

#: What is being done, candidates done, of how many.
Tell = Callable[[str, int, int], None]
#: Dials that the fold has as well: an edit must be folded with those it was made with.
_FOLDED = ("background_weight", "ridge")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What to sweep.

    Attributes:
        method: as the registry knows it.
        layers: that may be edited.
        vary: try other values of the dials as well.
        fixed: "edit" and "joint" -> dials that are not varied, since the policy sets them.
    """

    method: str
    layers: tuple[int, ...]
    vary: bool = True
    fixed: Mapping[str, Collection[str]] = field(default_factory=dict)


def sweep(
    setup: Setup,
    wanted: Wanted,
    cases: Sequence[EditCase],
    texts: Sequence[str],
    *,
    registry: Registry | None = None,
    tell: Tell = lambda *_: None,
) -> Search:
    """Edit the cases at every candidate: each alone in the model, and all at once in it.

    Args:
        setup: with second moments of all wanted layers; its dials are where the sweep begins.
        wanted: what to sweep.
        cases: vetted, best on different subjects.
        texts: for the perplexity.
        registry: of methods; default: all that are registered.
        tell: progress.

    Raises:
        EditError: when no layer takes any edit.
        UsageError: for an unknown method.
    """
    registry = registry or Registry()
    card = registry.resolve(wanted.method.split(SEPARATOR)[0]).card
    where = places(wanted.layers, spreads=card.spreads)
    values = {"edit": asdict(setup.settings), "joint": asdict(setup.joint)}
    what = grid(values, joint=card.dials == "joint", fixed=wanted.fixed) if wanted.vary else []
    total, done = len(where) + sum(len(values) for _, _, values in what), 0

    def measure(place: Place, dials: Dials) -> Tried:
        nonlocal done
        name = f"layer {place}" if place.alone else f"layers {place}"
        told = f"{name}, {dials}" if str(dials) else name
        tell(told, done, total)
        started = time.perf_counter()
        plan = Plan(
            single=len(cases), sequential=len(cases), batch=len(cases), checkpoints=(len(cases),), most=None
        )
        (found,) = compare(
            setup_at(setup, place, dials),
            [wanted.method],
            cases,
            texts,
            plan,
            registry=registry,
            tell=lambda what, n, of: tell(f"{told}: {what} {n} of {of}", done, total),
        )
        done += 1
        tell(told, done, total)
        return Tried(
            place=place,
            dials=dials,
            score=score_of(found),
            seconds=time.perf_counter() - started,
            problem=found.problem,
        )

    return search(where, what, measure)


def card_of_method(registry: Registry, name: str) -> MethodCard:
    """What a method says of itself, whatever stands behind its name; UsageError for an unknown one."""
    card: MethodCard = registry.resolve(name.split(SEPARATOR, maxsplit=1)[0]).card
    return card


def setup_at(setup: Setup, place: Place, dials: Dials) -> Setup:
    """The setup of a candidate; its fold solves with the dials that its edits are made with."""
    # A dial has the type of its default: `grid` keeps it, and a card is checked for it.
    edit, joint = dict[str, Any](dials.edit), dict[str, Any](dials.joint)
    settings = replace(setup.settings, **edit)
    fold = setup.fold
    if any(getattr(settings, name) != getattr(setup.settings, name) for name in _FOLDED):
        fold = Fold(
            setup.host, setup.moments, background_weight=settings.background_weight, ridge=settings.ridge
        )
    return replace(
        setup,
        fold=fold,
        layer=place.layer,
        layers=place.layers,
        settings=settings,
        joint=replace(setup.joint, **joint),
    )


def score_of(found: Measured) -> Score:
    """The numbers that count for merit; NaN for what was not reached."""
    return Score(
        alone=Shares() if found.alone is None else _shares(found.alone),
        together=_shares(found.points[-1]) if found.points else Shares(),
    )


def _shares(of: Alone | Point) -> Shares:
    return Shares(
        efficacy=of.counts.share(Measure.RELIABILITY),
        unseen=of.counts.share(Measure.GENERALIZATION),
        other_subject=of.counts.share(Measure.LOCALITY),
        same_subject=of.counts.share(Measure.SAME_SUBJECT),
        perplexity_ratio=of.perplexity_ratio,
        seconds_per_edit=of.seconds_per_edit,
        refused=of.refused,
    )

"""Runs a sweep: edits the same facts at every place and with every changed setting."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from guardedit.editing.method_card import MethodCard
from guardedit.editing.registry import SEPARATOR, Registry
from guardedit.editing.setup import Setup
from guardedit.lab.editors.alone import SingleEditScores
from guardedit.lab.editors.cases import EditCase
from guardedit.lab.editors.compare import MethodResult, Plan, compare
from guardedit.lab.editors.measure import Measure
from guardedit.lab.editors.sequence import SequencePoint
from guardedit.lab.sweep.candidates import ChangedSettings, EditPlace, grid, places
from guardedit.lab.sweep.merit import Score, Shares
from guardedit.lab.sweep.search import CandidateResult, SweepResult, search
from guardedit.models.weights.fold import Fold

#: Takes the current activity, candidates done, and candidates in total.
Tell = Callable[[str, int, int], None]
#: Settings that the fold uses too. It must fold an edit with the values that the edit was made with.
_FOLDED = ("background_weight", "ridge")


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepRequest:
    """What to sweep.

    Attributes:
        method: name in the registry.
        layers: layers that may be edited.
        vary: also try other values of the settings.
        fixed: "edit" and "joint" -> settings that are not varied, because the policy sets them.
    """

    method: str
    layers: tuple[int, ...]
    vary: bool = True
    fixed: Mapping[str, Collection[str]] = field(default_factory=dict)


def sweep(
    setup: Setup,
    request: SweepRequest,
    cases: Sequence[EditCase],
    texts: Sequence[str],
    *,
    registry: Registry | None = None,
    tell: Tell = lambda *_: None,
) -> SweepResult:
    """Edit the cases with every candidate: each case alone in the model, and all cases together.

    Args:
        setup: setup with second moments of all requested layers. The sweep starts from its settings.
        request: what to sweep.
        cases: vetted, preferably on different subjects.
        texts: texts for measuring perplexity.
        registry: registry of methods; default: all that are registered.
        tell: progress.

    Raises:
        EditError: when no layer takes any edit.
        UsageError: for an unknown method.
    """
    registry = registry or Registry()
    card = registry.resolve(request.method.split(SEPARATOR)[0]).card
    all_places = places(request.layers, spreads=card.spreads)
    values = {"edit": asdict(setup.settings), "joint": asdict(setup.joint)}
    variations = grid(values, joint=card.settings == "joint", fixed=request.fixed) if request.vary else []
    total, done = len(all_places) + sum(len(values) for _, _, values in variations), 0

    def measure(place: EditPlace, settings: ChangedSettings) -> CandidateResult:
        nonlocal done
        layers = f"layer {place}" if place.alone else f"layers {place}"
        name = f"{layers}, {settings}" if str(settings) else layers
        tell(name, done, total)
        started = time.perf_counter()
        plan = Plan(
            single=len(cases), sequential=len(cases), batch=len(cases), checkpoints=(len(cases),), most=None
        )
        (measured,) = compare(
            setup_at(setup, place, settings),
            [request.method],
            cases,
            texts,
            plan,
            registry=registry,
            tell=lambda what, n, of: tell(f"{name}: {what} {n} of {of}", done, total),
        )
        done += 1
        tell(name, done, total)
        return CandidateResult(
            place=place,
            settings=settings,
            score=score_of(measured),
            seconds=time.perf_counter() - started,
            problem=measured.problem,
        )

    return search(all_places, variations, measure)


def card_of_method(registry: Registry, name: str) -> MethodCard:
    """The card of a method without its filters; UsageError for an unknown method."""
    card: MethodCard = registry.resolve(name.split(SEPARATOR, maxsplit=1)[0]).card
    return card


def setup_at(setup: Setup, place: EditPlace, changed: ChangedSettings) -> Setup:
    """The setup of a candidate. Its fold uses the settings with which its edits are made."""
    # Each value has the type of its default: `grid` keeps the type, and edit cards are checked for it.
    edit, joint = dict[str, Any](changed.edit), dict[str, Any](changed.joint)
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


def score_of(result: MethodResult) -> Score:
    """The numbers that decide the merit; NaN for those that were not reached."""
    return Score(
        alone=Shares() if result.alone is None else _shares(result.alone),
        together=_shares(result.points[-1]) if result.points else Shares(),
    )


def _shares(scores: SingleEditScores | SequencePoint) -> Shares:
    return Shares(
        efficacy=scores.counts.share(Measure.RELIABILITY),
        unseen=scores.counts.share(Measure.GENERALIZATION),
        other_subject=scores.counts.share(Measure.LOCALITY),
        same_subject=scores.counts.share(Measure.SAME_SUBJECT),
        perplexity_ratio=scores.perplexity_ratio,
        seconds_per_edit=scores.seconds_per_edit,
        refused=scores.refused,
    )

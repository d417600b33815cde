"""Chooses where and how a model is edited, within a time budget, and makes its edit card.

1. Facts that the model knows are changed to other objects (`cases`).
2. Windows of layers are ordered by the room that their keys leave (`screening`).
3. Successive halving over the windows (`halving`), each scored by likelihood (`measure`).
4. While there is time, half of the steps are tried at the best window, and settings are varied there. The
   fewer steps stay unless they cost merit, the other settings if they gain some.
5. The best is measured once more on facts that nothing was chosen on.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from guardedit.core.errors import EditError, UsageError
from guardedit.editing.edit_card import CardSettings, EditCard
from guardedit.editing.joint.sensitivity import sensitivity_of
from guardedit.editing.setup import Setup
from guardedit.lab.sweep.candidates import ChangedSettings, EditPlace
from guardedit.lab.sweep.run import setup_at
from guardedit.models.host import ModelHost
from guardedit.models.weights.fold import Fold
from guardedit.models.weights.second_moments import SecondMoments
from guardedit.prepare.facts import PublicFact
from guardedit.prepare.places.cases import TryCase, ends_answers, known_facts, make_cases
from guardedit.prepare.places.halving import Budget, Trial, best_trial, halve
from guardedit.prepare.places.measure import BatchMeasure, BatchScores
from guardedit.prepare.places.screening import by_room, room_by_layer, windows

#: Takes the current activity, steps done and steps in total.
Tell = Callable[[str, int, int | None], None]

#: Windows of each width, and how many of all stay after the screening.
STARTS, SCREENED = 5, 6
#: Facts of a trial in the last round, and facts on which the choice is checked.
MOST_FACTS = 16
#: Known facts to look for, and those that are asked whether the model ends its answers.
KNOWN, ENDINGS = 200, 64
#: A changed setting must gain this much merit: with so few facts, a smaller gain is chance.
GAIN = 0.01
#: Factor on the length of a step when there are half as many.
LONGER = 1.5
#: Settings that are varied, with factors on their values, in this order.
VARIED: tuple[tuple[str, str, tuple[float, ...]], ...] = (
    ("joint", "divergence_price", (4.0, 16.0)),
    ("joint", "divergence_price", (0.25,)),
    ("joint", "confidence", (0.7,)),
    ("joint", "norm_penalty", (4.0,)),
)
#: The price of divergence that a search starts from, see `JointSettings.divergence_price`.
START_PRICE = 3_000.0


@dataclass(frozen=True, slots=True)
class EditCandidate:
    """A place with changed settings."""

    place: EditPlace
    settings: ChangedSettings = field(default_factory=ChangedSettings)

    def __str__(self) -> str:
        changed = f", {self.settings}" if str(self.settings) else ""
        return f"layers {self.place}{changed}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceSearch:
    """The result of a search.

    Attributes:
        best: the chosen candidate.
        checked: its scores on facts that nothing was chosen on.
        trials: every trial, in order.
        scores: the scores of each trial.
        room: layer -> room for edits, see `screening.room_by_layer`.
        known: number of known facts that cases were made of.
        seconds: duration.
    """

    best: EditCandidate
    checked: BatchScores
    trials: tuple[Trial[EditCandidate], ...]
    scores: tuple[BatchScores, ...]
    room: Mapping[int, float]
    known: int
    seconds: float

    @property
    def rounds(self) -> int:
        """Number of rounds of the halving; one compares all places on few facts only."""
        return len({trial.facts for trial in self.trials})

    def card(self, base_sha256: str, *, seed: int, method: str) -> EditCard:
        """The edit card with the choice, the check and every trial."""
        return EditCard(
            base_sha256=base_sha256,
            layer=self.best.place.layer,
            layers=self.best.place.layers,
            settings=CardSettings(edit=self.best.settings.edit, joint=self.best.settings.joint),
            about={
                "method": method,
                "seed": seed,
                "known_facts": self.known,
                "checked": {**asdict(self.checked), "merit": self.checked.merit},
                "seconds": round(self.seconds, 1),
            },
            sweep=tuple(_row(trial, one) for trial, one in zip(self.trials, self.scores, strict=True)),
        )


def search_places(
    setup: Setup,
    facts: Sequence[PublicFact],
    texts: Sequence[str],
    *,
    moments: Callable[[Sequence[int]], Mapping[int, SecondMoments]],
    budget_s: float,
    method: str = "joint",
    batch: int = 16,
    seed: int = 0,
    clock: Callable[[], float] = time.monotonic,
    tell: Tell = lambda *_: None,
) -> PlaceSearch:
    """Search the places and settings for edits of one model.

    Args:
        setup: the model, with the settings to start from. Its layers do not matter.
        facts: facts that may be edited, or asked as neighbours.
        texts: ordinary texts for perplexity: every other one to choose on, the rest to check on.
        moments: second moments of some layers; called once, with all layers of all windows.
        budget_s: seconds for all of it.
        method: name of the editing method.
        batch: subjects that are proposed at once.
        seed: draws facts and targets.
        clock: seconds.
        tell: progress.

    Raises:
        UsageError: the model knows too few of the facts.
        EditError: no place takes any edit; names a reason.
    """
    started = clock()
    budget = Budget(started + budget_s, clock)
    tell("asking which facts the model knows", 0, None)
    known = known_facts(setup.host, facts, most=KNOWN, seed=seed)
    # Two halves that share no fact, neighbours included: one to choose on, one to check the choice on.
    chosen, checked = (make_cases(half, count=MOST_FACTS, seed=seed) for half in (known[::2], known[1::2]))
    if len(chosen) < 2 or not checked:
        raise UsageError(
            f"the model knows {len(known)} of {len(facts)} facts, too few to try edits with: "
            "give facts that it knows with --facts"
        )
    tell("collecting second moments of the layers", 0, None)
    places, room, found = _screened(setup.host, chosen, moments)
    start = ChangedSettings()
    if joint := method == "joint":
        tell("measuring how sensitive the layers are", 0, None)
        folder = setup.cache and setup.cache / setup.host.base_sha256
        sensitivity_of(setup.host, setup.texts, sorted(found), folder=folder)  # once, for all windows
        ends = ends_answers(setup.host, known[:ENDINGS])
        start = ChangedSettings(joint={"divergence_price": START_PRICE, "ends_answer": ends})
    measure = _measure(setup.host, chosen, texts[::2], method, batch)
    log = _Log(_with_moments(setup, found), measure, clock, tell)
    candidates = [EditCandidate(place, start) for place in places]
    trials = halve(candidates, log.measure, budget, most_facts=len(chosen))
    best = best_trial(trials)
    if math.isnan(best.merit):
        reason = next((one.problem for one in log.scores if one.problem), "no edit took hold")
        raise EditError(f"no layers of {', '.join(map(str, places))} take these edits: {reason}")
    if joint:
        best = _varied(_hastened(best, log, budget), log, budget)
    tell(f"checking {best.candidate} on other facts and texts", 0, None)
    check = _measure(setup.host, checked, texts[1::2], method, batch)
    return PlaceSearch(
        best=best.candidate,
        checked=check(log.setup(best.candidate), len(checked)),
        trials=tuple(log.trials),
        scores=tuple(log.scores),
        room=room,
        known=len(known),
        seconds=clock() - started,
    )


def _measure(
    host: ModelHost, cases: Sequence[TryCase], texts: Sequence[str], method: str, batch: int
) -> BatchMeasure:
    return BatchMeasure(
        host=host, cases=cases, texts=texts, base=host.token_logprobs(texts), method=method, batch=batch
    )


class _Log:
    """Measures candidates and keeps every trial with its scores."""

    def __init__(self, setup: Setup, measure: BatchMeasure, clock: Callable[[], float], tell: Tell) -> None:
        self._setup, self._measure, self._clock, self._tell = setup, measure, clock, tell
        self.trials: list[Trial[EditCandidate]] = []
        self.scores: list[BatchScores] = []

    def setup(self, candidate: EditCandidate) -> Setup:
        """The setup that edits as the candidate says."""
        return setup_at(self._setup, candidate.place, candidate.settings)

    def measure(self, candidate: EditCandidate, facts: int) -> Trial[EditCandidate]:
        """One trial."""
        started = self._clock()
        text = f"trying {candidate} ({len(self.trials) + 1}. trial)"
        self._tell(text, 0, facts)
        scores = self._measure(self.setup(candidate), facts, tell=lambda done: self._tell(text, done, facts))
        trial = Trial(candidate, facts, scores.merit, self._clock() - started)
        self.trials.append(trial)
        self.scores.append(scores)
        return trial


def _hastened(best: Trial[EditCandidate], log: _Log, budget: Budget) -> Trial[EditCandidate]:
    """The best trial with half of the steps, each `LONGER`, if that costs at most `GAIN` of merit."""
    if best.seconds > budget.left_s:
        return best
    start = log.setup(best.candidate).joint
    settings = best.candidate.settings.having("joint", "steps", max(1, start.steps // 2))
    settings = settings.having("joint", "learning_rate_ratio", LONGER * start.learning_rate_ratio)
    trial = log.measure(EditCandidate(best.candidate.place, settings), best.facts)
    return trial if trial.merit >= best.merit - GAIN else best


def _varied(best: Trial[EditCandidate], log: _Log, budget: Budget) -> Trial[EditCandidate]:
    """The best trial after varying settings one after the other, while the budget lasts."""
    for kind, name, factors in VARIED:
        start = getattr(log.setup(best.candidate), kind)
        value = getattr(start, name)  # before the loop: each factor is on the value that the loop began with
        for factor in factors:
            if best.seconds > budget.left_s:
                return best
            settings = best.candidate.settings.having(kind, name, value * factor)
            trial = log.measure(EditCandidate(best.candidate.place, settings), best.facts)
            if not trial.merit > best.merit + GAIN:
                break  # a larger factor in the same direction would hardly help
            best = trial
    return best


def _screened(
    host: ModelHost,
    cases: Sequence[TryCase],
    moments: Callable[[Sequence[int]], Mapping[int, SecondMoments]],
) -> tuple[list[EditPlace], dict[int, float], Mapping[int, SecondMoments]]:
    places = windows(host.layers, most=STARTS)
    layers = sorted({layer for place in places for layer in place.layers})
    found = moments(layers)
    room = room_by_layer(host, cases, found)
    return by_room(places, room)[:SCREENED], room, found


def _with_moments(setup: Setup, moments: Mapping[int, SecondMoments]) -> Setup:
    settings = setup.settings
    fold = Fold(setup.host, moments, background_weight=settings.background_weight, ridge=settings.ridge)
    return replace(setup, moments=moments, fold=fold)


def _row(trial: Trial[EditCandidate], scores: BatchScores) -> dict[str, Any]:
    settings = trial.candidate.settings
    return {
        "layers": list(trial.candidate.place.layers),
        "dials": {kind: dict(values) for kind, values in asdict(settings).items() if values},
        "facts": trial.facts,
        "merit": trial.merit,
        **{key: value for key, value in asdict(scores).items() if key != "edits"},
        "seconds": round(trial.seconds, 1),
    }

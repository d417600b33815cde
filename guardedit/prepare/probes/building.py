"""Builds the questions of a probe set: facts that the model gives in two wordings, also under noise.

The cheap step comes first, and each step is asked only for what the one before has left: the plain statement
(one short forward pass), the answers to both wordings, the margin where the object stands, and that margin
under benign changes of the weights.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from guardedit.memory.context import Prompts
from guardedit.models.bypass import Patch
from guardedit.models.host import ModelHost
from guardedit.prepare.facts import PublicFact, cloze
from guardedit.prepare.probes.benign import benign_patches
from guardedit.prepare.probes.candidates import asked_wordings, in_turn
from guardedit.prepare.probes.kept_results import KeptResults
from guardedit.prepare.probes.known import SCREEN_NATS, AnswerPlace, find_places, margins, screen

#: Facts of one step between two reports of progress. Many at once are faster: equal lengths share a batch.
SCREENED_AT_ONCE, ASKED_AT_ONCE = 256, 384
#: Takes what is being done, how much of it is done, and of how much.
Tell = Callable[[str, int, int | None], None]
#: A fact with the places of its object in the answers to its wordings.
_Row = tuple[PublicFact, list[AnswerPlace]]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSettings:
    """What a build depends on besides model and facts.

    Attributes:
        questions: most facts in the probe set; each is asked in two wordings.
        seed: of the order of the facts and of the noise.
        noise: number of benign changes under which every answer must stay.
        layers: layers in which they are made.
    """

    questions: int = 400
    seed: int = 0
    noise: int = 3
    layers: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltQuestions:
    """The questions found, and how many facts each step left.

    Attributes:
        rows: each fact with a place in the answer to each of its wordings.
        screened: facts whose plain statement was scored.
        asked: facts that were asked for in both wordings, or in the first if that lacked the object.
        known: facts whose object is what the model says, in both wordings.
        stable: of these, those that also stay under noise.
    """

    rows: tuple[tuple[PublicFact, AnswerPlace], ...]
    screened: int
    asked: int
    known: int
    stable: int


class QuestionBuilder:
    """Asks one model for facts, step by step.

    Args:
        host: the base model.
        prompts: how it is asked.
        settings: of the build.
        kept: results of a build that was stopped, and where those of this one are kept.
        tell: gets the progress.
    """

    def __init__(
        self, host: ModelHost, prompts: Prompts, settings: BuildSettings, kept: KeptResults, tell: Tell
    ) -> None:
        self._host, self._prompts, self._settings = host, prompts, settings
        self._kept, self._tell = kept, tell
        self._patches: list[Patch] | None = None

    def build(self, facts: Sequence[PublicFact]) -> BuiltQuestions:
        """Try the facts until there are enough; equal arguments give equal questions."""
        order = in_turn(facts, seed=self._settings.seed)
        screened = asked = known = 0
        found: list[_Row] = []
        for count, likely in self._groups(order, found):
            screened, rows = count, self._known(likely)
            asked, known = asked + len(likely), known + len(rows)
            found += self._stable(rows)
            if len(found) >= self._settings.questions:
                break
        # Those beyond the wanted number are dropped: the order is balanced at its beginning.
        chosen = found[: self._settings.questions]
        return BuiltQuestions(
            rows=tuple((fact, place) for fact, places in chosen for place in places),
            screened=screened,
            asked=asked,
            known=known,
            stable=len(found),
        )

    def _groups(
        self, order: Sequence[PublicFact], found: Sequence[_Row]
    ) -> Iterator[tuple[int, list[PublicFact]]]:
        """How many facts were screened so far, and those to ask for next, in their order."""
        is_chat = self._prompts.form.name == "chat"
        floor, at_once = (SCREEN_NATS, ASKED_AT_ONCE) if is_chat else (0.0, 1)
        likely: list[PublicFact] = []
        for start in range(0, len(order), SCREENED_AT_ONCE):
            self._tell(f"{start} facts screened, questions found", len(found), self._settings.questions)
            group = order[start : start + SCREENED_AT_ONCE]
            scores = self._for_facts("screen", group, lambda some: screen(self._host, some))
            likely += [fact for fact, score in zip(group, scores, strict=True) if score > floor]
            screened = start + len(group)
            if len(likely) >= at_once or screened == len(order):
                self._tell(f"asking for {len(likely)} facts", len(found), self._settings.questions)
                yield screened, likely
                likely = []

    def _known(self, facts: Sequence[PublicFact]) -> list[_Row]:
        """The facts whose object stands in all answers, at places where it is what the model says."""
        rows = self._for_facts("places", facts, self._find)
        found = [
            (fact, [AnswerPlace(*place) for place in row])
            for fact, row in zip(facts, rows, strict=True)
            if row is not None
        ]
        return list(self._said("margins", found, None))

    def _find(self, facts: Sequence[PublicFact]) -> list[list[tuple[str, ...]] | None]:
        return [
            None if row is None else [astuple(place) for place in row]
            for row in find_places(self._host, self._prompts, facts)
        ]

    def _stable(self, rows: list[_Row]) -> list[_Row]:
        if self._patches is None:
            self._patches = benign_patches(
                self._host, self._settings.layers, count=self._settings.noise, seed=self._settings.seed
            )
        for n, patch in enumerate(self._patches):
            rows = list(self._said(f"noise {n}", rows, patch))
        return rows

    def _said(self, step: str, rows: Sequence[_Row], patch: Patch | None) -> Iterator[_Row]:
        keys = [json.dumps(astuple(place)) for _, places in rows for place in places]

        def make(new: Sequence[str]) -> list[float]:
            return margins(self._host, self._prompts, [AnswerPlace(*json.loads(key)) for key in new], patch)

        found = dict(zip(keys, self._kept.results(step, keys, make), strict=True))
        for fact, places in rows:
            if all(found[json.dumps(astuple(place))] > 0 for place in places):
                yield fact, places

    def _key(self, fact: PublicFact) -> str:
        """Everything that is asked about a fact: with other wordings or names it is asked again."""
        wordings = asked_wordings(fact, self._prompts.form.name)
        return json.dumps([fact.subject, fact.relation, *fact.names, cloze(fact), *wordings])

    def _for_facts(
        self,
        step: str,
        facts: Sequence[PublicFact],
        make: Callable[[Sequence[PublicFact]], Sequence[Any]],
    ) -> list[Any]:
        by_key = {self._key(fact): fact for fact in facts}
        return self._kept.results(step, list(by_key), lambda new: make([by_key[key] for key in new]))

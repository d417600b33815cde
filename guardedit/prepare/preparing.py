"""Prepares a model: makes each file that its folder lacks, in this order.

    background.json    text whose keys the editor must leave alone, sampled from the model
    edit_card.json     layers and settings                              `places`
    probes.json        what the guard measures on                       `probes`
    memory_card.json   how a fact in memory is stated                   `announcement`
    noise.json         how many answers change by harmless edits        `noise`
    prepared.md        what was found, and what to expect               `page`

A file that is there is not made again, so a preparation that was stopped goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from guardedit import assembly
from guardedit.core.durable import replace_file
from guardedit.core.errors import UsageError
from guardedit.editing.registry import Registry
from guardedit.guard import NOISE_FILE, Noise
from guardedit.models.background import background_texts
from guardedit.models.host import ModelHost
from guardedit.models.weights.second_moments import SecondMoments, collect
from guardedit.models.worker import ModelWorker
from guardedit.policy.schema import Policy
from guardedit.prepare.facts import PublicFact, load_public_facts, read_facts
from guardedit.prepare.noise import BATCHES, TOGETHER, measure_noise
from guardedit.prepare.page import PREPARED_PAGE, page
from guardedit.prepare.places.cases import known_facts, make_cases
from guardedit.prepare.places.search import search_places
from guardedit.prepare.probes.benign import benign_edits
from guardedit.prepare.probes.job import BuildRequest, build_probes
from guardedit.prepare.probes.texts import general_texts, read_own_texts
from guardedit.settings import Settings

Tell = Callable[[str, int, int | None], None]

#: Most texts on which the search measures perplexity, half of them to choose on.
SEARCH_TEXTS = 96
#: Tokens for each dimension of a key in the second moments of the search, which only compares places.
SEARCH_TOKENS_PER_DIMENSION = 2
#: Facts that stand in memory while the noise is measured.
REMEMBERED = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareRequest:
    """What a preparation is asked for.

    Attributes:
        facts: the user's facts; None: the shipped ones that are not held out.
        texts: the user's texts; None: the shipped ones of the guard's part.
        budget_s: seconds for the search of layers and settings.
        questions: most facts in the probe set.
        seed: of all sampling.
        again: names of files that are made again although they are there.
    """

    facts: Path | None = None
    texts: Path | None = None
    budget_s: float = 600.0
    questions: int = 400
    seed: int = 0
    again: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """One file of a preparation.

    Attributes:
        file: its name.
        made: whether it was made now; otherwise it was there.
        seconds: duration.
    """

    file: str
    made: bool
    seconds: float = 0.0


class Preparation:
    """One preparation of the model in the settings.

    Args:
        settings: name the model. The files are written into its folder.
        policy: gives limits of the guard, and settings that are not varied.
        request: what is asked for.
        tell: progress.
        say: gets a sentence when something is worth a line of its own.

    Raises:
        UsageError: the model is the embedded one, which is prepared, or `again` names no such file.
    """

    def __init__(
        self,
        settings: Settings,
        policy: Policy,
        request: PrepareRequest,
        *,
        tell: Tell = lambda *_: None,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        if not settings.model:
            raise UsageError("the built-in demo model is prepared already: name another model")
        self._settings, self._policy, self._request = settings, policy, request
        self._tell, self._say = tell, say
        self._folder = assembly.model_folder(settings)
        if unknown := request.again - {*self.steps}:
            raise UsageError(f"--again {min(unknown)}: name one of {', '.join(self.steps)}")

    @property
    def steps(self) -> Mapping[str, Callable[[], None]]:
        """The name of each file, and what makes it, in order."""
        return {
            assembly.BACKGROUND: self._background,
            assembly.EDIT_CARD: self._edit_card,
            assembly.PROBES: self._probes,
            assembly.MEMORY_CARD: self._memory_card,
            NOISE_FILE: self._noise,
        }

    def missing(self) -> list[str]:
        """Names of the files that a run will make. The noise is that of edits in the card's layers."""
        again = set(self._request.again)
        again |= {NOISE_FILE} if assembly.EDIT_CARD in again else set()
        return [name for name in self.steps if name in again or not (self._folder / name).is_file()]

    def run(self) -> list[StepResult]:
        """Make the files that are missing, and the page.

        Raises:
            UsageError: facts or texts cannot be read, or the model knows too few facts.
            EditError: no layers take any edit.
        """
        missing, results = self.missing(), []
        for name, make in self.steps.items():
            started = time.monotonic()
            if name in missing:
                make()
            results.append(StepResult(file=name, made=name in missing, seconds=time.monotonic() - started))
        write = partial(replace_file, self._folder / PREPARED_PAGE, step="page")
        write(page(self._folder, self._settings.model).encode())
        return results

    @cached_property
    def _host(self) -> ModelHost:
        self._tell("loading the model", 0, None)
        return assembly.load_host(self._settings)

    @cached_property
    def _facts(self) -> Sequence[PublicFact]:
        path = self._request.facts
        return load_public_facts("build") if path is None else read_facts(path)

    @cached_property
    def _texts(self) -> Sequence[str]:
        path = self._request.texts
        if path is not None:
            return read_own_texts(path)
        return tuple(text for parts in general_texts("guard").values() for text in parts)

    def _background(self) -> None:
        host = self._host
        width = host.base_matrix(0).shape[1]
        texts = background_texts(
            host,
            (),
            tokens=assembly.TOKENS_PER_DIMENSION * width,
            folder=self._settings.home / "prepare",
            seed=self._request.seed,
            tell=partial(self._tell, "sampling background text from the model, tokens"),
        )
        self._write(assembly.BACKGROUND, json.dumps(texts, ensure_ascii=False, indent=0))

    def _edit_card(self) -> None:
        host, request = self._host, self._request
        background = assembly.read_background(self._folder / assembly.BACKGROUND)
        setup = assembly.load_setup(
            self._settings, self._policy, layer=0, layers=(0,), seed=request.seed, host=host, use_card=False
        )

        def moments(layers: Sequence[int]) -> Mapping[int, SecondMoments]:
            least = SEARCH_TOKENS_PER_DIMENSION * host.base_matrix(0).shape[1]
            return collect(host, background, layers, min_tokens=least, exact=False)

        found = search_places(
            setup,
            self._facts,
            _spread(self._texts, SEARCH_TEXTS),
            moments=moments,
            budget_s=request.budget_s,
            method=self._policy.editing.method,
            batch=self._policy.editing.batch,
            seed=request.seed,
            tell=self._tell,
        )
        self._say(f"{found.best}: {len(found.trials)} trials in {found.seconds / 60:.1f} min")
        if found.rounds < 2:
            self._say("the budget was used up in the first round, on few facts: give a larger --budget")
        card = found.card(host.base_sha256, seed=request.seed, method=self._policy.editing.method)
        self._write(assembly.EDIT_CARD, card.text)

    def _probes(self) -> None:
        asked = BuildRequest(
            facts=self._request.facts,
            texts=self._request.texts,
            questions=self._request.questions,
            seed=self._request.seed,
            path=self._folder / assembly.PROBES,
        )
        _, found = build_probes(self._settings, asked, tell=self._tell, say=lambda _: None, host=self._host)
        self._say(f"{len(found.rows)} questions that the model answers rightly and stably")

    def _memory_card(self) -> None:
        from guardedit.prepare.announcement import tune_announcement

        tune = partial(
            tune_announcement, self._settings, seed=self._request.seed, tell=self._tell, host=self._host
        )
        try:
            tune(facts=self._request.facts)
        except UsageError as error:
            if self._request.facts is None:
                raise
            self._say(f"{error}; the announcement is tuned on the public facts instead")
            tune(facts=None)

    def _noise(self) -> None:
        host, request = self._host, self._request
        probes = assembly.load_probes(self._settings)
        setup = assembly.load_setup(self._settings, self._policy, seed=request.seed, host=host)
        editors = {self._policy.editing.method: Registry().build(self._policy.editing.method, setup)}
        prompts = assembly.load_prompts(self._settings)
        guard = assembly.guard(self._policy, probes, prompts, Noise())
        # Another seed than the search's, so that most facts are others than those it chose on.
        known = known_facts(host, self._facts, most=400, seed=request.seed + 1)
        cases = make_cases(known, count=BATCHES * TOGETHER + REMEMBERED, seed=request.seed + 1)
        noise = measure_noise(
            ModelWorker(host, setup.fold, editors),
            guard,
            cases,
            method=self._policy.editing.method,
            # Another seed than that of the changes under which the probes were chosen to be stable.
            benign=benign_edits(host, setup.layers, count=BATCHES, seed=request.seed + 1),
            seed=request.seed,
            tell=self._tell,
        )
        body = {**noise.to_json(), "base_sha256": host.base_sha256}
        self._write(NOISE_FILE, json.dumps(body, indent=1, sort_keys=True) + "\n")

    def _write(self, name: str, text: str) -> None:
        replace_file(self._folder / name, text.encode(), step="prepare")


def _spread(texts: Sequence[str], most: int) -> list[str]:
    """At most `most` of the texts, evenly spaced."""
    return list(texts[:: max(1, -(-len(texts) // most))])


def with_model(settings: Settings, name: str) -> Settings:
    """The settings for another model, whose probes are in its own folder."""
    return replace(settings, model=name, probes=None)

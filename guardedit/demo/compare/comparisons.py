"""Runs the systems that the demo is compared with: no guard, original ROME, and memory alone.

Each processes the same stream after the system has finished, in this process and with its own model.
"""

from __future__ import annotations

import math
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guardedit.demo.progress import DemoProgress
from guardedit.runtime.opening import existing, inbox
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.assembly import LoadedModel
    from guardedit.core.fact import Fact, FactKey
    from guardedit.demo.compare.second_system import ComparisonRun
    from guardedit.demo.disabling.held_out import HeldOut
    from guardedit.demo.scores import AnswerScores, PerplexityRatio, Questions
    from guardedit.demo.stream.expected import DemoStream
    from guardedit.demo.worlds.setting import DemoSetting
    from guardedit.ledger.inbox_writer import InboxWriter
    from guardedit.ledger.reading import LedgerReader
    from guardedit.policy.schema import Policy
    from guardedit.runtime.local import LocalSystem


@dataclass(frozen=True, kw_only=True)
class Comparisons:
    """The comparisons of one demo.

    Attributes:
        settings: settings of the demo's system.
        policy: policy of the demo's system.
        screen: shows the progress.
        loaded: a model that nothing else uses.
        setting: the world, and which comparisons are made.
        stream: stream of the demo.
        live: the live facts of the demo's system, for their placements.
        held_out: texts and questions for the harm.
        base_answers: what the base model has answered already, by prompt.
    """

    settings: Settings
    policy: Policy
    screen: DemoProgress
    loaded: LoadedModel
    setting: DemoSetting
    stream: DemoStream
    live: Mapping[FactKey, Fact]
    held_out: HeldOut
    base_answers: dict[str, str]

    def all(self) -> dict[str, Any]:
        """Comparison -> its fields, with the names of the demo's own report."""
        found = {"memory_alone": self.memory_alone(), "guard_off": self.guard_off()}
        return {**found, "original_rome": self.original_rome()} if self.setting.rome else found

    def guard_off(self) -> dict[str, Any]:
        """The same system, editor and batches without the guard. Edits that cannot be folded are left out."""
        from guardedit.core.probe import Probes
        from guardedit.demo.assess.report_fields import ask_served, served_fields
        from guardedit.demo.compare.second_system import run_second_system
        from guardedit.demo.scores import compare_perplexity, score

        name = "for comparison: the same stream without the guard"
        self.screen.stage(name)
        # The fold itself refuses these, with or without a guard, so they cannot do any harm.
        left_out = [key for key, item in self.stream.disabling.items() if item.harm and item.harm.problem]
        stream = self.stream.without(left_out).first(self.setting.unguarded_lines or len(self.stream.lines))
        with self._system(self.policy, guarded=False) as (system, box, ledger):
            run = run_second_system(
                system,
                box,
                ledger,
                stream,
                self.setting.texts,
                chunk=self.setting.chunk,
                name=uuid.uuid4().hex,
                tell=self._tell(name, stream),
            )
            probes = Probes(texts=tuple(self.setting.texts))
            logprobs = system.worker.measure(ledger.edits(), probes).logprobs
            ratio = compare_perplexity(logprobs, system.worker.measure((), probes).logprobs)
            questions = self._questions(stream.first(run.lines))
            if run.ruined and (most := self.setting.ruined_questions):
                questions = questions.sample(most, seed=self.stream.seed)
            scores = score(ask_served(system), questions)
            served = served_fields(ledger, system.worker, set(self.stream.disabling), held_out=self.held_out)
        return {**comparison_fields(run, scores, ratio), **served, "left_out": left_out}

    def original_rome(self) -> dict[str, Any]:
        """One fact at a time, directly into the weights."""
        from guardedit.demo.compare.original_rome import OriginalRome

        name = "for comparison: the same stream by ROME as published"
        self.screen.stage(name)
        rome = OriginalRome(self.loaded, self.setting.texts)
        run = rome.run(self.stream, tell=self._tell(name, self.stream))
        scores, ratio = rome.ask(self._questions(self.stream.first(run.lines)))
        return comparison_fields(run, scores, ratio)

    def memory_alone(self) -> dict[str, Any]:
        """The same policy with nothing in the weights, scored by the placements in the demo's system."""
        from guardedit.demo.assess.report_fields import ask_served, by_placement
        from guardedit.demo.compare.second_system import memory_only, run_second_system
        from guardedit.demo.scores import answers

        self.screen.stage("for comparison: the same stream with memory alone")
        questions = self._questions(self.stream).first_wordings()  # the others are not compared
        with self._system(memory_only(self.policy), guarded=True) as (system, box, ledger):
            run = run_second_system(
                system,
                box,
                ledger,
                self.stream,
                self.setting.texts,
                chunk=self.setting.chunk,
                name=uuid.uuid4().hex,
            )
            answered = answers(ask_served(system), questions)
        return {
            "by_placement": by_placement(answered, questions, self.live),
            "lines": run.lines,
            "seconds": run.seconds,
            "seconds_per_correction": run.seconds / run.lines,
        }

    def _questions(self, stream: DemoStream) -> Questions:
        from guardedit.demo.scores import questions_after, remembering

        host, asked = self.loaded.host, self.setting.asked
        return questions_after(
            self.setting.world,
            remembering(lambda new: host.complete([asked(one) for one in new]), self.base_answers),
            live=stream.live,
            gone=stream.gone,
            seed=stream.seed,
            others=self.setting.other_subjects,
            is_right=self.setting.is_right,
        )

    def _tell(self, name: str, stream: DemoStream) -> Callable[[int, float], None]:
        return lambda lines, ratio: self.screen.progress(
            f"{name}: {lines} of {len(stream.lines)} messages, perplexity ratio {ratio:.3g}"
        )

    @contextmanager
    def _system(
        self, policy: Policy, *, guarded: bool
    ) -> Iterator[tuple[LocalSystem, InboxWriter, LedgerReader]]:
        """A second system in a temporary folder."""
        from guardedit.demo.disabling.poison import METHOD, PoisonedEditor
        from guardedit.runtime.local import LocalSystem

        with tempfile.TemporaryDirectory(prefix="guardedit-comparison-") as folder:
            settings = replace(self.settings, home=Path(folder), runtime="local")
            moments = self.settings.home / "moments"
            if moments.is_dir():  # they depend on the model only, so there is no need to collect them again
                shutil.copytree(moments, settings.home / moments.name)
            with (
                LocalSystem(
                    settings, policy, extra={METHOD: PoisonedEditor.build}, guarded=guarded
                ) as system,
                inbox(settings) as box,
                existing(settings) as ledger,
            ):
                yield system, box, ledger


def comparison_fields(run: ComparisonRun, scores: AnswerScores, ratio: PerplexityRatio) -> dict[str, Any]:
    """The report fields of a comparison. Its questions are about the lines submitted until it ended.

    Of a model that was ruined, only a sample of them was asked: at most `ruined_questions` of each kind.
    `gone` is whether the model was ruined; it replaces the score of that name.
    """
    from guardedit.demo.assess.report_fields import perplexity_fields, score_fields

    return {
        **score_fields(scores),
        **perplexity_fields(ratio),
        "lines": run.lines,
        "gone": run.ruined,
        "edits": run.edits,
        "seconds": run.seconds,
        "seconds_per_correction": run.seconds / run.lines if run.lines else math.nan,
        "curve": [list(point) for point in run.curve],
    }

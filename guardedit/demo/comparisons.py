"""What the demo shows beside the system: its guard off, original ROME, and every fact kept in memory.

Each works off the same stream after the system is done, in this process and on a model of its own.
"""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guardedit.demo.screen import Screen
from guardedit.runtime.opening import existing, inbox
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.assembly import LoadedModel
    from guardedit.core.fact import Fact, FactKey
    from guardedit.demo.campaign import Inbox
    from guardedit.demo.expected import DemoStream
    from guardedit.demo.held_out import HeldOut
    from guardedit.demo.scores import Questions
    from guardedit.ledger.reading import LedgerReader
    from guardedit.policy.schema import Policy
    from guardedit.runtime.local import LocalSystem
    from guardedit.zoo.world import World


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The comparisons of one demo. `bench` is a model that is free, `live` where the system has its facts."""

    settings: Settings
    rules: Policy
    screen: Screen
    bench: LoadedModel
    world: World
    stream: DemoStream
    texts: list[str]
    live: Mapping[FactKey, Fact]
    apart: HeldOut

    def all(self) -> dict[str, Any]:
        """By name, each in the words of the system's own report."""
        return {
            "memory_alone": self.memory_alone(),
            "guard_off": self.guard_off(),
            "original_rome": self.original_rome(),
        }

    def guard_off(self) -> dict[str, Any]:
        """The same system, editor and batches; lines whose edit cannot be folded are left out."""
        from guardedit.core.probe import Probes
        from guardedit.demo.assess.assessment import ask_served, assess_course, assess_served
        from guardedit.demo.scores import fluency, score
        from guardedit.demo.unguarded import run_beside

        name = "the same stream with the guard off"
        self.screen.stage(name)
        # A fold refuses what is not finite, with or without a guard: such an edit can ruin nothing.
        left_out = [key for key, item in self.stream.disabling.items() if item.harm and item.harm.problem]
        stream = self.stream.without(left_out)
        with self._system(self.rules, guarded=False) as (system, box, ledger):
            course = run_beside(
                system, box, ledger, stream, self.texts, name=uuid.uuid4().hex, tell=self._tell(name, stream)
            )
            probes = Probes(texts=tuple(self.texts))
            now = system.worker.measure(ledger.edits(), probes).logprobs
            pair = fluency(now, system.worker.measure((), probes).logprobs)
            scores = score(ask_served(system), self._questions(stream.first(course.lines)))
            served = assess_served(ledger, system.worker, set(self.stream.disabling), apart=self.apart)
        return {**assess_course(course, scores, pair), **served, "left_out": left_out}

    def original_rome(self) -> dict[str, Any]:
        """One fact at a time, straight into the weights."""
        from guardedit.demo.assess.assessment import assess_course
        from guardedit.demo.original_rome import OriginalRome

        name = "the same stream by original ROME"
        self.screen.stage(name)
        rome = OriginalRome(self.bench, self.texts)
        course = rome.run(self.stream, tell=self._tell(name, self.stream))
        scores, pair = rome.asked(self._questions(self.stream.first(course.lines)))
        return assess_course(course, scores, pair)

    def memory_alone(self) -> dict[str, Any]:
        """The same rules, but nothing goes to the weights; scores also by where the system has the facts."""
        from guardedit.demo.assess.assessment import ask_served, by_placement
        from guardedit.demo.scores import answers
        from guardedit.demo.unguarded import kept_in_memory, run_beside

        name = "the same stream, all in memory"
        self.screen.stage(name)
        questions = self._questions(self.stream)
        with self._system(kept_in_memory(self.rules), guarded=True) as (system, box, ledger):
            course = run_beside(system, box, ledger, self.stream, self.texts, name=uuid.uuid4().hex)
            answered = answers(ask_served(system), questions)
        return {
            "by_placement": by_placement(answered, questions, self.live),
            "lines": course.lines,
            "seconds": course.seconds,
            "seconds_per_correction": course.seconds / course.lines,
        }

    def _questions(self, stream: DemoStream) -> Questions:
        from guardedit.demo.scores import questions_after

        return questions_after(
            self.world, self.bench.host.complete, live=stream.live, gone=stream.gone, seed=stream.seed
        )

    def _tell(self, name: str, stream: DemoStream) -> Any:
        return lambda lines, ratio: self.screen.progress(
            f"{name}: {lines} of {len(stream.lines)} lines, perplexity ratio {ratio:.3g}"
        )

    @contextmanager
    def _system(self, rules: Policy, *, guarded: bool) -> Iterator[tuple[LocalSystem, Inbox, LedgerReader]]:
        from guardedit.demo.stream.poison import METHOD, PoisonedEditor
        from guardedit.runtime.local import LocalSystem

        with tempfile.TemporaryDirectory(prefix="guardedit-beside-") as folder:
            settings = replace(self.settings, home=Path(folder), runtime="local")
            moments = self.settings.home / "moments"
            if moments.is_dir():  # they are the model's, not the run's: nothing is gained by another pass
                shutil.copytree(moments, settings.home / moments.name)
            with (
                LocalSystem(settings, rules, extra={METHOD: PoisonedEditor.build}, guarded=guarded) as system,
                inbox(settings) as box,
                existing(settings) as ledger,
            ):
                yield system, box, ledger

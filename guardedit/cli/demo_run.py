"""The story of the demo, from the first actor to the picture. Measures and tells; judges nothing."""

from __future__ import annotations

import math
import platform
import secrets
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guardedit.cli.demo_screen import Screen
from guardedit.cli.opening import existing, inbox
from guardedit.cli.operator import use_token
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.agent.parts import StepReport
    from guardedit.evaluation.expected import DemoStream
    from guardedit.evaluation.scores import Questions
    from guardedit.ledger.reading import LedgerReader
    from guardedit.policy.schema import Policy
    from guardedit.runtime.cluster import RaySystem
    from guardedit.runtime.local import LocalSystem
    from guardedit.zoo.world import World

#: Disabling edits in the stream, and how many of them the miner shall find.
DISABLING, MINED = 12, 6


@dataclass
class DemoRun:
    """One run; `run` may be called once."""

    settings: Settings
    screen: Screen
    corrections: int
    seed: int
    _seen: int = 0  # number of the last event that was shown

    def run(self, report: Path, *, unguarded: bool) -> dict[str, Any]:
        """1 Start. 2 Mine. 3 Stream. 4 Ask. 5 Every way back. 6 Verify. 7 Without a guard. 8 Draw."""
        from guardedit.evaluation import assessment, campaign
        from guardedit.evaluation.picture import draw
        from guardedit.evaluation.resources import peak_memory_bytes
        from guardedit.evaluation.scores import questions_after
        from guardedit.evaluation.timeline import timeline
        from guardedit.policy.load import load_policy
        from guardedit.zoo.probes import read_texts

        started = time.monotonic()
        rules = load_policy(self.settings.policy)
        texts = read_texts("evaluation")
        self.screen.stage("starting the system")
        with self._system(rules) as system, inbox(self.settings) as box, existing(self.settings) as ledger:
            world = self._world()
            stream, mined = self._stream(system, world, rules)
            self.screen.stage("streaming")
            run = campaign.run_stream(
                system,
                box,
                stream.raw,
                name=uuid.uuid4().hex,
                settled_by_s=stream.settled_by_s,
                tell=lambda step: self._tell(system, ledger, step),
            )
            self.screen.stage("asking")
            questions = questions_after(
                world,
                assessment.ask_base(system.workbench),
                live=stream.live,
                gone=stream.gone,
                seed=self.seed,
            )
            found = {
                **self._about(system.epoch().base_sha256),
                **mined,
                **assessment.assess_run(run, stream),
                **assessment.assess_answers(system, ledger, questions, texts),
            }
            self.screen.stage("trying again what the guard turned away")
            found |= assessment.assess_ledger(
                ledger,
                system.workbench,
                stream=stream,
                run=run,
                policy=rules,
                settings=self.settings,
                now_s=time.time(),
            )
            checks = campaign.check_ways_back(system, ledger, seed=self.seed, tell=self.screen.stage)
            self.screen.stage("verifying the ledger")
            found |= assessment.assess_hashes(checks, ledger.verify())
            found["peak_memory_bytes"] = peak_memory_bytes()
            points = timeline(ledger)
        if unguarded:
            found["unguarded"] = self._unguarded(rules, stream, questions, texts)
        self.screen.stage("drawing")
        draw(
            report.with_suffix(".png"),
            points,
            title=self.screen.title,
            limits={
                "one batch may reach": rules.guard.perplexity_ratio_to_base,
                "drift rolls back at": rules.drift.perplexity_ratio_to_base,
            },
            unguarded=found.get("unguarded", {}).get("curve", ()),
        )
        return {
            **found,
            "epochs": [asdict(point) for point in points],
            "seconds_total": time.monotonic() - started,
        }

    @contextmanager
    def _system(self, rules: Policy) -> Iterator[RaySystem | LocalSystem]:
        from guardedit.evaluation.poison import METHOD, PoisonedEditor

        extra = {METHOD: PoisonedEditor.build}
        if self.settings.runtime == "ray":
            use_token(secrets.token_hex(32))
            from guardedit.runtime.cluster import RaySystem

            with RaySystem(self.settings, rules, extra=extra) as actors:
                yield actors
            return
        from guardedit.runtime.local import LocalSystem

        with LocalSystem(self.settings, rules, extra=extra) as here:
            yield here

    def _world(self) -> World:
        """What the model knows: the part of the demo world that its probe set lists."""
        from guardedit.assembly import load_probes
        from guardedit.zoo.probes import known_world
        from guardedit.zoo.world import World

        questions = load_probes(self.settings).questions
        return known_world(World.load(), [(q.subject, q.relation, q.prompt) for q in questions])

    def _stream(
        self, system: RaySystem | LocalSystem, world: World, rules: Policy
    ) -> tuple[DemoStream, dict[str, Any]]:
        from guardedit.assembly import model_folder
        from guardedit.evaluation.miner import mine
        from guardedit.evaluation.poison import choose
        from guardedit.evaluation.stream import make_stream
        from guardedit.models.loading import load_tokenizer
        from guardedit.zoo.probes import read_texts

        self.screen.stage("mining edits that ruin the model")
        tokenizer, _ = load_tokenizer(model_folder(self.settings))
        mining = mine(
            world,
            system.workbench,
            read_texts("guard"),
            wanted=MINED,
            seed=self.seed,
            limit=rules.guard.perplexity_ratio_to_base,
            tokens=lambda name: len(tokenizer(name)["input_ids"]),
        )
        ruinous = mining.found[:MINED]
        poisoned = choose(world, count=DISABLING - len(ruinous), seed=self.seed, but=ruinous)
        stream = make_stream(
            world,
            corrections=self.corrections,
            seed=self.seed,
            disabling=[*ruinous, *poisoned],
            now_s=time.time(),
            fleeting_s=15.0 + self.corrections / 10,
        )
        told = {
            "disabling_mined": len(ruinous),
            "disabling_ratio_above": mining.limit,
            "disabling_poisoned": len(poisoned),
            "mining": [
                {
                    "prompt": world.prompt(a.edit.fact, a.edit.wording),
                    "target": a.edit.target,
                    "ratio": a.ratio,
                }
                for a in mining.tried
            ],
        }
        return stream, told

    def _tell(self, system: RaySystem | LocalSystem, ledger: LedgerReader, step: StepReport) -> None:
        verdicts: list[tuple[str, str]] = []
        for seq, _, body in ledger.events(since=self._seen, kinds=("trial", "epoch")):
            self._seen = seq
            if verdict := body.get("verdict"):
                ratio = verdict["measured"].get("perplexity_ratio_to_base", math.nan)
                accepted = f"perplexity ratio {ratio:.4f}, {len(body.get('changes', ()))} facts moved"
                verdicts.append((verdict["outcome"], verdict["reason"] or accepted))
        self.screen.turn(step, system.status(), verdicts)

    def _unguarded(
        self, rules: Policy, stream: DemoStream, questions: Questions, texts: list[str]
    ) -> dict[str, Any]:
        from guardedit.assembly import load_bench
        from guardedit.evaluation.assessment import assess_unguarded
        from guardedit.evaluation.unguarded import unguarded

        self.screen.stage("the same stream without a guard")
        bench = load_bench(self.settings, rules)
        found = unguarded(
            stream,
            bench,
            questions,
            texts,
            tell=lambda n, of, ratio: self.screen.progress(
                f"the same stream without a guard: {n} of {of}, perplexity ratio {ratio:.3g}"
            ),
        )
        return assess_unguarded(found)

    def _about(self, base_sha256: str) -> dict[str, Any]:
        import torch

        import guardedit

        return {
            "seed": self.seed,
            "runtime": self.settings.runtime,
            "model": self.settings.model or "embedded",
            "base_sha256": base_sha256,
            "versions": {
                "guardedit": guardedit.__version__,
                "python": platform.python_version(),
                "torch": str(torch.__version__),
                "platform": platform.platform(),
            },
        }

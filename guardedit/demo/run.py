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

from guardedit.demo.screen import Screen
from guardedit.demo.stream.mining import TEXTS, mine_stream
from guardedit.runtime.door import use_token
from guardedit.runtime.opening import existing, inbox
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.agent.parts import StepReport
    from guardedit.demo.timeline import Point
    from guardedit.ledger.reading import LedgerReader
    from guardedit.policy.schema import Policy
    from guardedit.runtime.cluster import RaySystem
    from guardedit.runtime.local import LocalSystem


@dataclass
class DemoRun:
    """One run; `run` may be called once."""

    settings: Settings
    screen: Screen
    corrections: int
    seed: int
    _seen: int = 0  # number of the last event that was shown

    def run(self, report: Path, *, unguarded: bool) -> dict[str, Any]:
        """1 Start. 2 Mine. 3 Stream. 4 Ask. 5 Every way back. 6 Verify. 7 What stands beside. 8 Draw."""
        from guardedit.demo import campaign
        from guardedit.demo.assess import assessment
        from guardedit.demo.comparisons import Beside
        from guardedit.demo.resources import peak_memory_bytes
        from guardedit.demo.scores import questions_after
        from guardedit.demo.timeline import timeline
        from guardedit.policy.load import load_policy
        from guardedit.zoo.probes import read_texts

        started = time.monotonic()
        rules = load_policy(self.settings.policy)
        texts = read_texts(TEXTS)
        self.screen.stage("starting the system")
        with self._system(rules) as system, inbox(self.settings) as box, existing(self.settings) as ledger:
            mined = mine_stream(
                self.settings, rules, self.screen, corrections=self.corrections, seed=self.seed
            )
            stream, world = mined.stream, mined.weighing.world
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
            base = assessment.ask_base(system.worker)
            questions = questions_after(world, base, live=stream.live, gone=stream.gone, seed=self.seed)
            live = ledger.live()
            found = {
                **self._about(system.epoch().base_sha256),
                **mined.told,
                **assessment.assess_run(run, stream),
                **assessment.assess_answers(system, ledger, questions, texts),
            }
            self.screen.stage("measuring what was served, apart from the guard")
            found |= assessment.assess_harm(
                ledger, system.worker, world, stream=stream, apart=mined.weighing.apart
            )
            self.screen.stage("trying again what the guard turned away")
            found |= assessment.assess_ledger(
                ledger,
                system.worker,
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
            found |= Beside(
                settings=self.settings,
                rules=rules,
                screen=self.screen,
                bench=mined.bench,
                world=world,
                stream=stream,
                texts=texts,
                live=live,
                apart=mined.weighing.apart,
            ).all()
        self._draw(report.with_suffix(".png"), points, rules, found)
        return {
            **found,
            "epochs": [asdict(point) for point in points],
            "seconds_total": time.monotonic() - started,
        }

    def _draw(self, path: Path, points: list[Point], rules: Policy, found: dict[str, Any]) -> None:
        from guardedit.demo.picture import draw

        self.screen.stage("drawing")
        curves = {
            "guard off": found.get("guard_off", {}).get("curve", ()),
            "original ROME": found.get("original_rome", {}).get("curve", ()),
        }
        draw(
            path,
            points,
            title=self.screen.title,
            limits={
                "one batch may reach": rules.guard.perplexity_ratio_to_base,
                "drift rolls back at": rules.drift.perplexity_ratio_to_base,
            },
            unguarded={name: curve for name, curve in curves.items() if curve},
        )

    @contextmanager
    def _system(self, rules: Policy) -> Iterator[RaySystem | LocalSystem]:
        from guardedit.demo.stream.poison import METHOD, PoisonedEditor

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

    def _tell(self, system: RaySystem | LocalSystem, ledger: LedgerReader, step: StepReport) -> None:
        verdicts: list[tuple[str, str]] = []
        for seq, _, body in ledger.events(since=self._seen, kinds=("trial", "epoch")):
            self._seen = seq
            if verdict := body.get("verdict"):
                ratio = verdict["measured"].get("perplexity_ratio_to_base", math.nan)
                accepted = f"perplexity ratio {ratio:.4f}, {len(body.get('changes', ()))} facts moved"
                verdicts.append((verdict["outcome"], verdict["reason"] or accepted))
        self.screen.turn(step, system.status(), verdicts)

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

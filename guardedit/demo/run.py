"""Runs the demo from start to end: prepare, run the stream, measure, recover, compare, draw."""

from __future__ import annotations

import math
import platform
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from guardedit.core.errors import UsageError
from guardedit.demo.preparation import PreparedDemo, prepare_demo
from guardedit.demo.progress import DemoProgress
from guardedit.runtime.opening import existing, inbox
from guardedit.runtime.system import System, open_system
from guardedit.settings import Settings

if TYPE_CHECKING:
    from guardedit.agent.parts import StepReport
    from guardedit.demo.timeline import TimelinePoint
    from guardedit.ledger.inbox_writer import InboxWriter
    from guardedit.ledger.reading import LedgerReader
    from guardedit.policy.schema import Policy


@dataclass
class DemoRun:
    """One run of the demo. `run` may be called once.

    Attributes:
        settings: model, home folder and runtime.
        screen: shows the progress.
        corrections: lines of the stream.
        seed: seed of every random choice.
    """

    settings: Settings
    screen: DemoProgress
    corrections: int
    seed: int
    _seen: int = 0  # number of the last event that was shown

    def run(self, report: Path, *, unguarded: bool) -> dict[str, Any]:
        """Run the demo and draw its picture.

        Args:
            report: path of the report. It is not written here; the picture gets the same name with `.png`.
            unguarded: also run the comparisons.

        Returns:
            The report. `picture` is the path of the picture, or None without matplotlib.
        """
        from guardedit.demo.compare.comparisons import Comparisons
        from guardedit.demo.disabling.poison import METHOD, PoisonedEditor
        from guardedit.demo.timeline import timeline
        from guardedit.policy.load import load_policy

        started = time.monotonic()
        policy = load_policy(self.settings.policy)
        self.screen.stage("starting the system")
        extra, base_answers = {METHOD: PoisonedEditor.build}, dict[str, str]()
        with (
            open_system(self.settings, policy, extra=extra) as system,
            inbox(self.settings) as box,
            existing(self.settings) as ledger,
        ):
            prepared = prepare_demo(
                self.settings, policy, self.screen, corrections=self.corrections, seed=self.seed
            )
            fields, live = self._stream_and_measure(
                system, box, ledger, prepared=prepared, policy=policy, base_answers=base_answers
            )
            fields |= self._recover(system, ledger)
            points = timeline(ledger)
        if unguarded:
            fields |= Comparisons(
                settings=self.settings,
                policy=policy,
                screen=self.screen,
                loaded=prepared.loaded,
                setting=prepared.setting,
                stream=prepared.stream,
                live=live,
                held_out=prepared.tester.held_out,
                base_answers=base_answers,
            ).all()
        picture = self._draw(report.with_suffix(".png"), points, policy, fields)
        return {
            **fields,
            "epochs": [asdict(point) for point in points],
            "picture": None if picture is None else str(picture),
            "seconds_total": time.monotonic() - started,
        }

    def _stream_and_measure(
        self,
        system: System,
        box: InboxWriter,
        ledger: LedgerReader,
        *,
        prepared: PreparedDemo,
        policy: Policy,
        base_answers: dict[str, str],
    ) -> tuple[dict[str, Any], dict[Any, Any]]:
        """Submit the stream, ask all questions, and measure harm and false rejections.

        The answers of the base model are added to `base_answers`.

        Returns:
            Fields of the report, and the live facts by key.
        """
        from guardedit.demo.assess import report_fields
        from guardedit.demo.scores import questions_after, remembering
        from guardedit.demo.streaming import run_stream

        stream, tester, setting = prepared.stream, prepared.tester, prepared.setting
        self.screen.stage("submitting the stream")
        run = run_stream(
            system,
            box,
            stream.raw,
            name=uuid.uuid4().hex,
            settled_by_s=stream.settled_by_s,
            tell=lambda step: self._show_turn(system, ledger, step),
            chunk=setting.chunk,
        )
        self.screen.stage("asking the questions")
        questions = questions_after(
            setting.world,
            remembering(report_fields.ask_base(system.worker, setting.asked), base_answers),
            live=stream.live,
            gone=stream.gone,
            seed=self.seed,
            others=setting.other_subjects,
            is_right=setting.is_right,
        )
        live = ledger.live()
        fields = {
            **self._about(system.epoch().base_sha256),
            **prepared.fields,
            **report_fields.run_fields(run, stream),
            **report_fields.answer_fields(system, ledger, questions, setting.texts),
        }
        self.screen.stage("measuring the served weights, independently of the guard")
        fields |= report_fields.harm_fields(
            ledger, system.worker, tester.world, stream=stream, held_out=tester.held_out
        )
        self.screen.stage("retrying the edits that the guard rejected")
        fields |= report_fields.ledger_fields(
            ledger,
            system.worker,
            stream=stream,
            run=run,
            policy=policy,
            settings=self.settings,
            now_s=time.time(),
        )
        return fields, dict(live)

    def _recover(self, system: System, ledger: LedgerReader) -> dict[str, Any]:
        from guardedit.demo.assess.report_fields import recovery_fields
        from guardedit.demo.peak_memory import peak_memory_bytes
        from guardedit.demo.recovery import check_recovery

        checks = check_recovery(system, ledger, seed=self.seed, tell=self.screen.stage)
        self.screen.stage("verifying the ledger")
        return {**recovery_fields(checks, ledger.verify()), "peak_memory_bytes": peak_memory_bytes()}

    def _draw(
        self, path: Path, points: list[TimelinePoint], policy: Policy, fields: dict[str, Any]
    ) -> Path | None:
        """Draw the picture. Returns its path, or None without matplotlib."""
        from guardedit.demo.picture import draw

        self.screen.stage("drawing the picture")
        curves = {
            "guard off": fields.get("guard_off", {}).get("curve", ()),
            "original ROME": fields.get("original_rome", {}).get("curve", ()),
        }
        try:
            draw(
                path,
                points,
                title=self.screen.title,
                limits={
                    "limit of a trial": policy.guard.perplexity_ratio_to_base,
                    "drift limit": policy.drift.perplexity_ratio_to_base,
                },
                unguarded={name: curve for name, curve in curves.items() if curve},
            )
        except UsageError as error:
            self.screen.stage(f"picture skipped: {error}")
            return None
        return path

    def _show_turn(self, system: System, ledger: LedgerReader, step: StepReport) -> None:
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

        from guardedit.version import VERSION

        return {
            "seed": self.seed,
            "runtime": self.settings.runtime,
            "model": self.settings.model or "embedded",
            "base_sha256": base_sha256,
            "versions": {
                "guardedit": VERSION,
                "python": platform.python_version(),
                "torch": str(torch.__version__),
                "platform": platform.platform(),
            },
        }

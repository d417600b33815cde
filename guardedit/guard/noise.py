"""The noise of a model: how many answers change by edits that do no harm.

`noise.json` in the model's folder has the counts. A model without the file has no noise.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from guardedit.core.errors import GuardError

#: Name of the file in a model's folder.
NOISE_FILE = "noise.json"
#: Gates that take the counts of another gate where they have none.
_SAME_QUESTIONS = {"other_subject_to_base": "other_subject"}


@dataclass(frozen=True, slots=True)
class KindNoise:
    """The noise in the answers of one kind of questions.

    Attributes:
        share: share of answers that changed by a harmless edit.
        questions: number of questions that were asked after each edit. The answers to one question are
            alike after all edits, so this is the size of the sample, not the number of answers.
    """

    share: float = 0.0
    questions: float = 0.0

    def at_most(self, share: float) -> KindNoise:
        """The noise, with no larger share than this."""
        return replace(self, share=min(self.share, share))


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Counts of changed answers under no-op and benign edits.

    Attributes:
        changed: name of a gate on answers -> number of answers that were right before an edit and wrong
            after it.
        asked: the same names -> number of answers that were right before an edit.
        edits: number of edits after which the questions were asked.
        seeds: seeds of the edits.

    Raises:
        GuardError: more answers changed than were asked, or a number is negative.
    """

    changed: Mapping[str, int] = field(default_factory=dict)
    asked: Mapping[str, int] = field(default_factory=dict)
    edits: int = 0
    seeds: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in {*self.changed, *self.asked}:
            changed, asked = self.changed.get(name, 0), self.asked.get(name, 0)
            if not 0 <= changed <= asked:
                raise GuardError(f"noise: {changed} of {asked} answers changed for {name}: measure it again")
        if self.edits < (1 if any(self.asked.values()) else 0):
            raise GuardError(f"noise: answers were counted after {self.edits} edits: measure it again")

    def of(self, gate: str) -> KindNoise:
        """The noise for a gate; none where its kind of questions was not measured."""
        name = gate if gate in self.asked else _SAME_QUESTIONS.get(gate, gate)
        asked = self.asked.get(name, 0)
        if not asked:
            return KindNoise()
        return KindNoise(share=self.changed.get(name, 0) / asked, questions=asked / self.edits)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `noise.json`."""
        return {
            "changed": dict(self.changed),
            "asked": dict(self.asked),
            "edits": self.edits,
            "seeds": list(self.seeds),
        }

    @staticmethod
    def from_json(body: Mapping[str, Any] | None) -> Noise:
        """Inverse of `to_json`; further keys are ignored. None: no noise was measured.

        Raises:
            GuardError: a number is missing, negative or no whole number.
        """
        if body is None:
            return Noise()
        try:
            counts = [{str(name): _whole(n) for name, n in body[key].items()} for key in ("changed", "asked")]
            seeds = tuple(_whole(seed) for seed in body.get("seeds", ()))
            return Noise(changed=counts[0], asked=counts[1], edits=_whole(body["edits"]), seeds=seeds)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise GuardError(
                f"noise: {error!r} in {str(body)[:80]}: measure it with `guardedit model prepare`"
            ) from error

    @staticmethod
    def load(folder: Path) -> Noise:
        """The noise of the model in a folder; none where it has no `noise.json`.

        Raises:
            GuardError: the file cannot be read or has another form.
        """
        path = folder / NOISE_FILE
        if not path.is_file():
            return Noise()
        try:
            body = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise GuardError(
                f"cannot read {path}: {error}: measure it with `guardedit model prepare`"
            ) from error
        return Noise.from_json(body)


def _whole(value: object) -> int:
    if type(value) is not int:
        raise ValueError(f"{value!r} is no whole number")
    return value

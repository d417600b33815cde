"""Training of editors: one step, validation, and a state on disk from which a stopped run goes on.

Knows optimisers and the two objectives. Does not know how lessons are made.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from guardedit.core.errors import UsageError
from guardedit.editing.hyper.checkpoint import (
    checkpoint_file,
    read_tensors,
    save_network,
    untrained,
    write_tensors,
)
from guardedit.editing.hyper.lessons import Course
from guardedit.editing.hyper.losses import losses
from guardedit.editing.hyper.recipe import Recipe
from guardedit.models.host import ModelHost

#: Gets the step just taken, the last one, and numbers to show.
Tell = Callable[[int, int, Mapping[str, float]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How well the best network does on the validation lessons.

    Attributes:
        score: what was minimised, in nats; NaN before the first validation.
        edit_nats, kept_nats: see `losses.Losses`.
        answered: share of questions whose answer is right, teacher-forced.
        step: when it was reached.
    """

    score: float = math.nan
    edit_nats: float = math.nan
    kept_nats: float = math.nan
    answered: float = math.nan
    step: int = 0


class Training:
    """One run. The model is read under its lock and never changed.

    Args:
        method: `ke` or `mend`.
        host: the base model, unpatched.
        course: lessons.
        recipe: the dials.
        folder: where state and result are written.
    """

    def __init__(self, method: str, host: ModelHost, course: Course, recipe: Recipe, folder: Path) -> None:
        self.recipe, self.step, self.best = recipe, 0, Report()
        self.network = untrained(method, host, seed=recipe.seed)
        self.multiplier = torch.zeros((), requires_grad=True)
        self._host, self._course, self._folder = host, course, folder
        self._validation = course.validation(recipe.validation)
        self._best_network = _copied(self.network.state_dict())
        self._worse = 0  # validations since the best
        sizes = [part for name, part in self.network.named_parameters() if name in {"steps", "log_size"}]
        chosen = {id(part) for part in sizes}
        others = [part for part in self.network.parameters() if id(part) not in chosen]
        self._optimiser = torch.optim.Adam([{"params": others}, {"params": sizes}])
        self._climber = torch.optim.RMSprop([self.multiplier], lr=recipe.multiplier_rate, maximize=True)

    @property
    def state_file(self) -> Path:
        """What a stopped run goes on from; gone when training is done."""
        return self._folder / f"{self.network.method}.training.safetensors"

    @property
    def done(self) -> bool:
        """All steps taken, or no improvement for long enough."""
        return self.step >= self.recipe.steps or self._worse > self.recipe.patience

    def run(self, *, until: int | None = None, tell: Tell = lambda *_: None) -> Report:
        """Train to the end, or to step `until`, and write what is left of it to disk.

        Raises:
            UsageError: when a text of the lessons does not fit the model.
        """
        last = self.recipe.steps if until is None else min(until, self.recipe.steps)
        while not self.done and self.step < last:
            numbers = self._learn()
            if self.step % self.recipe.validate_every == 0 or self.step == self.recipe.steps:
                self._validate()
                self.save()
            tell(self.step, self.recipe.steps, numbers)
        if self.done:
            self.finish()
        else:
            self.save()
        return self.best

    def _learn(self) -> dict[str, float]:
        """One step of the optimiser."""
        recipe = self.recipe
        margin = recipe.margin_at(self.step)
        edit = kept = answered = 0.0
        for turn in range(recipe.accumulate):
            lessons = self._course.draw(self.step * recipe.accumulate + turn, recipe.edits)
            found = losses(self._host, self.network, lessons, learn=True)
            if recipe.constrained:
                # The multiplier's gradient is what the constraint is missed by; RMSprop climbs it.
                total = found.edit_nats + self.multiplier.to(found.kept_nats) * (found.kept_nats - margin)
            else:
                total = recipe.edit_weight * found.edit_nats + recipe.kept_weight * found.kept_nats
            (total / recipe.accumulate).backward()  # type: ignore[no-untyped-call]  # torch's own gap
            edit += found.edit_nats.item() / recipe.accumulate
            kept += found.kept_nats.item() / recipe.accumulate
            answered += found.answered / recipe.accumulate
        self._move()
        self.step += 1
        return {"edit": edit, "kept": kept, "answered": answered, "multiplier": self.multiplier.item()}

    def _move(self) -> None:
        recipe, scale = self.recipe, self.recipe.scale(self.step)
        rates = (recipe.rate * scale, recipe.size_rate * scale)
        for group, rate in zip(self._optimiser.param_groups, rates, strict=True):
            group["lr"] = rate
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), recipe.clip)
        if bool(torch.isfinite(norm)):  # one bad draw shall not spoil the network
            self._optimiser.step()
            if recipe.constrained:
                self._climber.step()
                self.multiplier.data.clamp_(min=0.0)
        self._optimiser.zero_grad(set_to_none=True)
        self._climber.zero_grad(set_to_none=True)

    def _validate(self) -> None:
        parts = [
            self._validation[at : at + self.recipe.edits]
            for at in range(0, len(self._validation), self.recipe.edits)
        ]
        with torch.no_grad():
            found = [losses(self._host, self.network, part) for part in parts]
        share = [len(part) / len(self._validation) for part in parts]
        edit = sum(w * one.edit_nats.item() for w, one in zip(share, found, strict=True))
        kept = sum(w * one.kept_nats.item() for w, one in zip(share, found, strict=True))
        score = self.recipe.edit_weight * edit + self.recipe.kept_weight * kept
        if not score >= self.best.score:  # also when there is none yet, which is NaN
            answered = sum(w * one.answered for w, one in zip(share, found, strict=True))
            self.best = Report(score=score, edit_nats=edit, kept_nats=kept, answered=answered, step=self.step)
            self._best_network, self._worse = _copied(self.network.state_dict()), 0
        else:
            self._worse += 1

    def finish(self) -> None:
        """Write the best network where methods look for it, and remove the state."""
        if math.isnan(self.best.score):
            self._validate()
        self.network.load_state_dict(self._best_network)
        save_network(checkpoint_file(self._folder, self.network.method), self.network, self._host.base_sha256)
        self.state_file.unlink(missing_ok=True)

    def save(self) -> None:
        """Everything the next step depends on."""
        tensors = {f"network.{name}": part for name, part in self.network.state_dict().items()}
        tensors |= {f"best.{name}": part for name, part in self._best_network.items()}
        tensors["multiplier"] = self.multiplier
        for name, optimiser in self._optimisers.items():
            for index, values in optimiser.state_dict()["state"].items():
                tensors |= {f"{name}.{index}.{key}": torch.as_tensor(v) for key, v in values.items()}
        best = {name: getattr(self.best, name) for name in Report.__dataclass_fields__}
        about = {
            "step": self.step, "worse": self._worse, "best": best,
            "recipe": self.recipe.sha256, "base_sha256": self._host.base_sha256,
            "lessons": self._course.sha256,
        }  # fmt: skip
        write_tensors(self.state_file, tensors, about)

    def resume(self) -> None:
        """Go on from the folder's state.

        Raises:
            UsageError: when there is none, or it belongs to another model, recipe or data.
        """
        remedy = "start anew without --resume"
        if not self.state_file.is_file():
            raise UsageError(f"there is no {self.state_file} to resume: {remedy}")
        tensors, about = read_tensors(self.state_file, remedy=remedy)
        mine = {
            "recipe": self.recipe.sha256, "base_sha256": self._host.base_sha256,
            "lessons": self._course.sha256,
        }  # fmt: skip
        if other := [name for name, value in mine.items() if about.get(name) != value]:
            raise UsageError(f"{self.state_file} is of another run ({', '.join(other)} differ): {remedy}")
        self.network.load_state_dict(_below("network", tensors))
        self._best_network = _below("best", tensors)
        self.multiplier.data.copy_(tensors["multiplier"])
        for name, optimiser in self._optimisers.items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in _below(name, tensors).items():
                index, _, what = key.partition(".")
                state.setdefault(int(index), {})[what] = value
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        self.step, self._worse, self.best = about["step"], about["worse"], Report(**about["best"])

    @property
    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        return {"optimiser": self._optimiser, "climber": self._climber}


def _copied(state: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: part.detach().clone() for name, part in state.items()}


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name.removeprefix(start): part for name, part in tensors.items() if name.startswith(start)}

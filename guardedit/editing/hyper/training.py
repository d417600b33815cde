"""Train a hypernetwork: optimiser steps, validation, and a state on disk from which a stopped run resumes."""

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
from guardedit.editing.hyper.losses import losses
from guardedit.editing.hyper.training_data import EditSampler
from guardedit.editing.hyper.training_settings import TrainingSettings
from guardedit.models.host import ModelHost

#: Called after every step with its number, the number of the last step, and named numbers to show.
OnStep = Callable[[int, int, Mapping[str, float]], None]


#: Keys of the digests in a state file -> their names in messages.
NAMES = {"recipe": "settings", "base_sha256": "base model", "lessons": "training data"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingReport:
    """Scores of the best network on the validation samples.

    Attributes:
        score: weighted sum of both losses, in nats; NaN before the first validation.
        edit_nats, kept_nats, answered: see `losses.Losses`; answers are teacher-forced.
        step: the step at which this network was reached.
    """

    score: float = math.nan
    edit_nats: float = math.nan
    kept_nats: float = math.nan
    answered: float = math.nan
    step: int = 0


class Training:
    """One training run. The model is used under its lock and never changed.

    Args:
        method: `ke` or `mend`.
        host: the base model, unpatched.
        sampler: draws the samples.
        settings: of the training.
        folder: where state and result are written.
    """

    def __init__(
        self, method: str, host: ModelHost, sampler: EditSampler, settings: TrainingSettings, folder: Path
    ) -> None:
        self.settings, self.step, self.best = settings, 0, TrainingReport()
        self.network = untrained(method, host, seed=settings.seed)
        self.multiplier = torch.zeros((), requires_grad=True)
        self._host, self._sampler, self._folder = host, sampler, folder
        self._validation = sampler.validation(settings.validation)
        self._best_network = _copied(self.network.state_dict())
        self._stale = 0  # validations since the best one
        sizes = [part for name, part in self.network.named_parameters() if name in {"steps", "log_size"}]
        size_ids = {id(part) for part in sizes}
        others = [part for part in self.network.parameters() if id(part) not in size_ids]
        self._optimiser = torch.optim.Adam([{"params": others}, {"params": sizes}])
        self._multiplier_optimiser = torch.optim.RMSprop(
            [self.multiplier], lr=settings.multiplier_rate, maximize=True
        )

    @property
    def state_file(self) -> Path:
        """The file from which a stopped run resumes; removed when training is done."""
        return self._folder / f"{self.network.method}.training.safetensors"

    @property
    def done(self) -> bool:
        """Whether all steps are taken, or validation has not improved for long enough."""
        return self.step >= self.settings.steps or self._stale > self.settings.patience

    def run(self, *, until: int | None = None, on_step: OnStep = lambda *_: None) -> TrainingReport:
        """Train to the end, or to step `until`, and write the network or the state to disk.

        Raises:
            UsageError: when a text of the samples does not fit the model.
        """
        last = self.settings.steps if until is None else min(until, self.settings.steps)
        while not self.done and self.step < last:
            numbers = self._step()
            if self.step % self.settings.validate_every == 0 or self.step == self.settings.steps:
                self._validate()
                self.save()
            on_step(self.step, self.settings.steps, numbers)
        if self.done:
            self.finish()
        else:
            self.save()
        return self.best

    def _step(self) -> dict[str, float]:
        """One optimiser step; returns numbers to show."""
        settings = self.settings
        margin = settings.margin_at(self.step)
        edit = kept = answered = 0.0
        for turn in range(settings.accumulate):
            samples = self._sampler.draw(self.step * settings.accumulate + turn, settings.edits)
            found = losses(self._host, self.network, samples, observe=True)
            if settings.constrained:
                # Gradient ascent on the multiplier: its gradient is the violation of the constraint.
                total = found.edit_nats + self.multiplier.to(found.kept_nats) * (found.kept_nats - margin)
            else:
                total = settings.edit_weight * found.edit_nats + settings.kept_weight * found.kept_nats
            (total / settings.accumulate).backward()  # type: ignore[no-untyped-call]  # torch's own gap
            edit += found.edit_nats.item() / settings.accumulate
            kept += found.kept_nats.item() / settings.accumulate
            answered += found.answered / settings.accumulate
        self._update()
        self.step += 1
        return {"edit": edit, "kept": kept, "answered": answered, "multiplier": self.multiplier.item()}

    def _update(self) -> None:
        settings, scale = self.settings, self.settings.scale(self.step)
        rates = (settings.rate * scale, settings.size_rate * scale)
        for group, rate in zip(self._optimiser.param_groups, rates, strict=True):
            group["lr"] = rate
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), settings.clip)
        if bool(torch.isfinite(norm)):  # else skip the step: one bad sample must not ruin the network
            self._optimiser.step()
            if settings.constrained:
                self._multiplier_optimiser.step()
                self.multiplier.data.clamp_(min=0.0)
        self._optimiser.zero_grad(set_to_none=True)
        self._multiplier_optimiser.zero_grad(set_to_none=True)

    def _validate(self) -> None:
        parts = [
            self._validation[at : at + self.settings.edits]
            for at in range(0, len(self._validation), self.settings.edits)
        ]
        with torch.no_grad():
            found = [losses(self._host, self.network, part) for part in parts]
        share = [len(part) / len(self._validation) for part in parts]
        edit = sum(w * one.edit_nats.item() for w, one in zip(share, found, strict=True))
        kept = sum(w * one.kept_nats.item() for w, one in zip(share, found, strict=True))
        score = self.settings.edit_weight * edit + self.settings.kept_weight * kept
        if not score >= self.best.score:  # also true when there is no best score yet (NaN)
            answered = sum(w * one.answered for w, one in zip(share, found, strict=True))
            self.best = TrainingReport(
                score=score, edit_nats=edit, kept_nats=kept, answered=answered, step=self.step
            )
            self._best_network, self._stale = _copied(self.network.state_dict()), 0
        else:
            self._stale += 1

    def finish(self) -> None:
        """Write the best network to its file, and remove the state."""
        if math.isnan(self.best.score):
            self._validate()
        self.network.load_state_dict(self._best_network)
        save_network(checkpoint_file(self._folder, self.network.method), self.network, self._host.base_sha256)
        self.state_file.unlink(missing_ok=True)

    def save(self) -> None:
        """Write everything that the next step depends on to the state file."""
        tensors = {f"network.{name}": part for name, part in self.network.state_dict().items()}
        tensors |= {f"best.{name}": part for name, part in self._best_network.items()}
        tensors["multiplier"] = self.multiplier
        for name, optimiser in self._optimisers.items():
            for index, values in optimiser.state_dict()["state"].items():
                tensors |= {f"{name}.{index}.{key}": torch.as_tensor(v) for key, v in values.items()}
        best = {name: getattr(self.best, name) for name in TrainingReport.__dataclass_fields__}
        about = {
            "step": self.step,
            "worse": self._stale,
            "best": best,
            **self._identity,
        }
        write_tensors(self.state_file, tensors, about)

    def resume(self) -> None:
        """Load the state file.

        Raises:
            UsageError: when there is none, or it belongs to another model, other settings or other data.
        """
        remedy = "start again without --resume"
        if not self.state_file.is_file():
            raise UsageError(f"there is no {self.state_file} to resume: {remedy}")
        tensors, about = read_tensors(self.state_file, remedy=remedy)
        if other := [NAMES[key] for key, value in self._identity.items() if about.get(key) != value]:
            raise UsageError(f"{self.state_file} is of another run ({', '.join(other)} differ): {remedy}")
        self.network.load_state_dict(_with_prefix("network", tensors))
        self._best_network = _with_prefix("best", tensors)
        self.multiplier.data.copy_(tensors["multiplier"])
        for name, optimiser in self._optimisers.items():
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in _with_prefix(name, tensors).items():
                index, _, what = key.partition(".")
                state.setdefault(int(index), {})[what] = value
            optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
        self.step, self._stale, self.best = about["step"], about["worse"], TrainingReport(**about["best"])

    @property
    def _identity(self) -> dict[str, str]:
        """Digests of what a run depends on; a state file is only resumed where all are equal."""
        return {
            "recipe": self.settings.sha256,
            "base_sha256": self._host.base_sha256,
            "lessons": self._sampler.sha256,
        }

    @property
    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        """Optimisers by their name in the state file."""
        return {"optimiser": self._optimiser, "climber": self._multiplier_optimiser}


def _copied(state: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: part.detach().clone() for name, part in state.items()}


def _with_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    start = f"{prefix}."
    return {name.removeprefix(start): part for name, part in tensors.items() if name.startswith(start)}

"""Runs forward passes with a corrupted subject in which some states are restored from a clean pass."""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum

import torch
from torch import Tensor, nn

from guardedit.lab.locating.noise import embedding
from guardedit.lab.locating.statements import TokenizedStatement
from guardedit.models.hooks import tap
from guardedit.models.host import ModelHost
from guardedit.models.text.out_of_memory import memory_errors


class TracedPart(StrEnum):
    """The modules whose outputs can be restored or frozen."""

    HIDDEN = "hidden"  # a decoder layer: its output in the residual stream
    MLP = "mlp"  # a down projection
    ATTENTION = "attention"  # an attention module, after its output projection


#: A module of the model: (part, layer).
ModulePlace = tuple[TracedPart, int]


@dataclass(frozen=True, slots=True)
class Restoration:
    """Which states a run restores and freezes.

    Attributes:
        tokens: positions whose states come from the clean run.
        clean: modules whose outputs are restored there.
        frozen: modules whose output at the subject's last token stays as in the corrupted run, even if the
            module is also in `clean`.
    """

    tokens: tuple[int, ...]
    clean: tuple[ModulePlace, ...]
    frozen: tuple[ModulePlace, ...] = ()


class NoisyRuns:
    """Clean and corrupted runs of facts with the same number of tokens, and restored runs on demand.

    Args:
        host: the model; its lock is held during every pass.
        statements: F facts of equal length T; F * N rows run at once.
        noise: for each fact [N, T, d].
        rows: most rows in one pass of `restored`; at least N are used.

    Attributes:
        clean: p(target) of each fact without noise, F numbers.
        corrupted: the same with noise, mean over the N rows.

    Raises:
        GuardError: when memory does not suffice.
    """

    def __init__(
        self,
        host: ModelHost,
        statements: Sequence[TokenizedStatement],
        noise: Sequence[Tensor],
        *,
        rows: int,
    ) -> None:
        self._host = host
        self._at_once = max(1, rows // noise[0].shape[0])
        self._noise = torch.stack(list(noise)).to(host.device)  # [F, N, T, d]
        self._ids = torch.tensor([one.ids for one in statements], device=host.device)  # [F, T]
        self._targets = torch.tensor([one.target for one in statements], device=host.device)  # [F]
        self._subject_last = torch.tensor([one.subject[-1] for one in statements], device=host.device)  # [F]
        self._one_position = "logits_to_keep" in inspect.signature(host.model.forward).parameters
        self._modules = {
            (part, layer): _module(host, part, layer) for part in TracedPart for layer in range(host.layers)
        }
        with host.lock:
            self.clean, self._clean_states = self._clean_run()
            self.corrupted, self._corrupted_states = self._corrupted_run()

    def restored(self, tries: Sequence[tuple[int, Restoration]]) -> Iterator[list[float]]:
        """Mean p(target) over the noisy rows of each (index of the fact, restoration), one pass at a time."""
        for start in range(0, len(tries), self._at_once):
            with self._host.lock:
                found = self._restored(tries[start : start + self._at_once])
            yield found

    def _clean_run(self) -> tuple[list[float], dict[ModulePlace, Tensor]]:
        """Probabilities, and every output: module -> [F, T, d]."""
        states: dict[ModulePlace, Tensor] = {}
        with ExitStack() as stack:
            for place, module in self._modules.items():
                # Copied at once: some layers add to their modules' outputs in place.
                def keep(output: Tensor, place: ModulePlace = place) -> Tensor:
                    states[place] = output.reshape(*self._ids.shape, -1).clone()
                    return output

                stack.enter_context(tap(module, replace=keep))
            found = self._probabilities(self._ids, self._targets)
        return found, states

    def _corrupted_run(self) -> tuple[list[float], dict[ModulePlace, Tensor]]:
        """Probabilities, and the outputs at the subject's last token: module -> [F, N, d]."""
        F, N, T, _ = self._noise.shape
        facts = torch.arange(F, device=self._ids.device)
        states: dict[ModulePlace, Tensor] = {}
        with ExitStack() as stack:
            for place, module in self._modules.items():

                def keep(output: Tensor, place: ModulePlace = place) -> Tensor:
                    # Indexing copies: [F, N, T, d] -> [F, N, d].
                    states[place] = output.reshape(F, N, T, -1)[facts, :, self._subject_last]
                    return output

                stack.enter_context(tap(module, replace=keep))
            found = self._noisy(facts)
        return found, states

    def _restored(self, tries: Sequence[tuple[int, Restoration]]) -> list[float]:
        facts = torch.tensor([fact for fact, _ in tries], device=self._ids.device)
        clean: dict[ModulePlace, list[tuple[int, int]]] = defaultdict(list)  # -> (index in `tries`, token)
        frozen: dict[ModulePlace, list[int]] = defaultdict(list)  # -> indices in `tries`
        for i, (_, restoration) in enumerate(tries):
            for place in restoration.clean:
                clean[place] += [(i, token) for token in restoration.tokens]
            for place in restoration.frozen:
                frozen[place].append(i)
        with ExitStack() as stack:
            for place in clean.keys() | frozen.keys():
                replace = self._patch(place, facts, clean[place], frozen[place])
                stack.enter_context(tap(self._modules[place], replace=replace))
            return self._noisy(facts)

    def _patch(
        self, place: ModulePlace, facts: Tensor, clean: list[tuple[int, int]], frozen: list[int]
    ) -> Callable[[Tensor], Tensor]:
        """The replacement of a module's output, for `tap`."""
        N, T = self._noise.shape[1:3]
        put, tokens = torch.tensor(clean, dtype=torch.int64, device=facts.device).view(-1, 2).unbind(1)
        hold = torch.tensor(frozen, dtype=torch.int64, device=facts.device)

        def replace(output: Tensor) -> Tensor:
            changed = output.clone(memory_format=torch.contiguous_format)
            by_try = changed.view(len(facts), N, T, -1)
            states = self._clean_states[place][facts[put], tokens]  # [pairs of try and token, d]
            by_try[put, :, tokens] = states[:, None]
            by_try[hold, :, self._subject_last[facts[hold]]] = self._corrupted_states[place][facts[hold]]
            return changed

        return replace

    def _noisy(self, facts: Tensor) -> list[float]:
        """Mean p(target) over the noisy rows of each of `facts` (indices, repeated at will)."""
        N = self._noise.shape[1]
        noise = self._noise[facts].flatten(0, 1)  # [len(facts) * N, T, d]
        with tap(embedding(self._host), replace=lambda output: output + noise.to(output.dtype)):
            found = self._probabilities(
                self._ids[facts].repeat_interleave(N, dim=0), self._targets[facts].repeat_interleave(N)
            )
        return torch.tensor(found, dtype=torch.float64).view(-1, N).mean(dim=1).tolist()

    def _probabilities(self, ids: Tensor, targets: Tensor) -> list[float]:
        """p(target) at the end of each row: ids [B, T], targets [B]."""
        last = {"logits_to_keep": 1} if self._one_position else {}
        with torch.inference_mode(), memory_errors(len(ids), remedy="lower the number of rows"):
            logits = self._host.model(input_ids=ids, use_cache=False, **last).logits[:, -1].float()
            return logits.softmax(dim=-1).gather(1, targets[:, None])[:, 0].tolist()  # type: ignore[no-any-return]


def _module(host: ModelHost, part: TracedPart, layer: int) -> nn.Module:
    if part is TracedPart.MLP:
        return host.mlp_out(layer)
    decoder = host.decoder_layer(layer)
    return decoder if part is TracedPart.HIDDEN else decoder.get_submodule(host.layout.attention)

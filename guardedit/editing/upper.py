"""The decoder above the edited layer, for many texts at once, with a change of the value at the subject.

Causality is used twice: layers up to the edited one and tokens before the subject's last do not depend on
the change, so they run once and only the rest runs in the optimisation loop. A change of the MLP's
output is the same change of the layer's output in every architecture that adds the MLP to the residual
stream. Knows Hugging Face caches. Changes no weight, no gradient and no module of the model.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache

from guardedit.editing.rows import RowTensors
from guardedit.models.hooks import tap
from guardedit.models.host import ModelHost

#: Rows a pass takes at once: few enough for the processor's cache, many enough to be worth a call.
CHUNK = 64


class _Given(nn.Module):
    """Stands for a decoder layer that has already run: puts out what it was given."""

    def __init__(self, output: Tensor, *, as_tuple: bool) -> None:
        super().__init__()
        self.output: Any = (output,) if as_tuple else output

    def forward(self, *_: Any, **__: Any) -> Any:
        return self.output


class UpperLayers:
    """Logits at the answer positions of rows, as a function of a change [rows, d] at the subject.

    S is the number of tokens from the subject's last one on, P of those before it.
    """

    def __init__(
        self, host: ModelHost, layer: int, rows: RowTensors, directions: Tensor | None = None
    ) -> None:
        self._host, self._layer = host, layer
        self._path, _, self._attribute = host.layout.decoder_layer.removesuffix(".{}").rpartition(".")
        before, after = rows.subject_at, rows.lengths - rows.subject_at
        self._before, self._after = before, after
        P, S = int(before.max()), int(after.max())
        T = rows.ids.shape[1]
        # Index of the token at each place: the prefix ends at P, the suffix begins there.
        place = before[:, None] - P + torch.arange(P + S)
        self._mask = (place >= 0) & (place < rows.lengths[:, None])  # [B, P+S]
        self._places = place.clamp(0, T - 1) * self._mask
        self._ids = rows.ids.gather(1, self._places)
        self._P = P
        offsets = torch.arange(S) + before[:, None]
        self.asked = (offsets >= rows.first[:, None]) & (offsets <= rows.last[:, None])  # [B, S]
        self._answers = rows.ids.gather(1, (offsets + 1).clamp(max=T - 1))
        self._as_tuple = False
        self._directions = None if directions is None else directions[rows.group].float()  # [B, f]
        self._hidden, self._shares, self._past = self._run_lower()

    @property
    def width(self) -> int:
        """d, the width of the hidden state."""
        return self._hidden.shape[-1]

    def chunks(self, active: Tensor) -> list[Tensor]:
        """Indices of `active` rows [B] bool, rows of like length together."""
        indices = active.nonzero()[:, 0]
        order = self._after[indices].argsort(stable=True)
        return list(torch.split(indices[order], CHUNK)) if len(indices) else []

    def answers(self, chunk: Tensor) -> Tensor:
        """Ids of the answer tokens of some rows, row after row, [m]."""
        S = int(self._after[chunk].max())
        return self._answers[chunk, :S][self.asked[chunk, :S]]

    def owners(self, chunk: Tensor) -> Tensor:
        """For each answer token, the index into `chunk` of its row, [m]."""
        return self.asked[chunk].nonzero()[:, 0]

    def logits(self, chunk: Tensor, change: Tensor) -> Tensor:
        """Float32 logits of the answer tokens, [m, vocabulary], in the order of `answers`.

        Args:
            chunk: [b] row indices.
            change: [b, d], added to the edited layer's output at the subject's last token.
        """
        P, S = int(self._before[chunk].max()), int(self._after[chunk].max())
        arriving = self._shares[chunk, :S, None] * change[:, None]  # [b, S, d]
        view = self._view(self._hidden[chunk, :S] + arriving.to(self._hidden))
        past = [(k[chunk, :, self._P - P :], v[chunk, :, self._P - P :]) for k, v in self._past]
        out = self._forward(view, chunk, P, S, past)
        head = self._host.model.get_submodule(self._host.layout.head)
        answered: Tensor = head(out[self.asked[chunk, :S].to(out.device)])
        return answered.float().cpu()

    def _view(self, output: Tensor) -> nn.Module:
        """The decoder with its lower layers replaced: a copy that shares every other module."""
        decoder = self._host.model.get_submodule(self._path)
        attribute = self._attribute
        layers = decoder.get_submodule(attribute)
        assert isinstance(layers, nn.ModuleList)
        given = _Given(output, as_tuple=self._as_tuple)
        view: nn.Module = copy.copy(decoder)
        view._modules = {  # noqa: SLF001  # nn.Module has no public way to share all modules but one
            **decoder._modules,  # noqa: SLF001  # as above
            attribute: nn.ModuleList([given] * (self._layer + 1) + list(layers[self._layer + 1 :])),
        }
        return view

    def _run_lower(self) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        """What does not depend on the change.

        Returns:
            Output of the edited layer from the subject on, [B, S, d]; the share of a change that arrives
            there, [B, S]; attention keys and values before the subject, per layer.
        """
        hidden, shares, past = [], [], []
        decoder = self._host.model.get_submodule(self._path)
        layer, mlp_out = self._host.decoder_layer(self._layer), self._host.mlp_out(self._layer)
        for chunk in torch.split(torch.arange(len(self._ids)), CHUNK):
            with self._host.lock, torch.no_grad():
                before = self._prefill(decoder, chunk)
                with _whole_output(layer) as whole, tap(layer, stop=True) as seen, tap(mlp_out) as keys:
                    self._forward(decoder, chunk, self._P, self._ids.shape[1] - self._P, before)
            past.append(before)
            hidden.append(seen.seen()[1])
            shares.append(self._shares_of(chunk, keys.seen()[0]))
            self._as_tuple = isinstance(whole[0], tuple)
        joined = [
            (torch.cat([k for k, _ in layer]), torch.cat([v for _, v in layer]))
            for layer in zip(*past, strict=True)
        ]
        return torch.cat(hidden), torch.cat(shares), joined

    def _shares_of(self, chunk: Tensor, keys: Tensor) -> Tensor:
        """[b, S] from the keys [b, S, f] there."""
        if self._directions is None:
            shares = torch.zeros(keys.shape[:2])
            shares[:, 0] = 1.0
            return shares
        return torch.einsum("bsf,bf->bs", keys.float().cpu(), self._directions[chunk])

    def _prefill(self, decoder: nn.Module, chunk: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Attention keys and values of the tokens before the subject, per layer; zero where padded."""
        if self._P == 0:
            return []
        mask = self._mask[chunk, : self._P].to(self._host.device)
        cache = decoder(
            input_ids=self._ids[chunk, : self._P].to(self._host.device),
            attention_mask=mask.long(),
            position_ids=self._places[chunk, : self._P].to(self._host.device),
            past_key_values=DynamicCache(),
            use_cache=True,
        ).past_key_values
        # A row that is all padding may hold NaN, and zero attention times NaN is NaN.
        real = mask[:, None, :, None]
        return [(k.masked_fill(~real, 0.0), v.masked_fill(~real, 0.0)) for k, v in map(_pair, cache.layers)]

    def _forward(
        self, decoder: nn.Module, chunk: Tensor, P: int, S: int, past: list[tuple[Tensor, Tensor]]
    ) -> Tensor:
        """Final hidden states [b, S, d] of the tokens from the subject on."""
        device, start = self._host.device, self._P
        hidden: Tensor = decoder(
            input_ids=self._ids[chunk, start : start + S].to(device),
            attention_mask=self._mask[chunk, start - P : start + S].long().to(device),
            position_ids=self._places[chunk, start : start + S].to(device),
            past_key_values=DynamicCache(past) if past else DynamicCache(),
            use_cache=True,
        ).last_hidden_state
        return hidden


@contextmanager
def _whole_output(layer: nn.Module) -> Iterator[list[Any]]:
    """What the layer returns, unopened: some architectures wrap the hidden state in a tuple."""
    seen: list[Any] = []
    handle = layer.register_forward_hook(lambda _module, _args, result: seen.append(result))
    try:
        yield seen
    finally:
        handle.remove()


def _pair(layer: Any) -> tuple[Tensor, Tensor]:
    return layer.keys, layer.values

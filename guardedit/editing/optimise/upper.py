"""The decoder above the lowest edited layer, for many texts at once, with what edits add there.

Causality is used twice: layers up to the edited one and tokens before the subject's last do not depend on
the edit, so they run once and only the rest runs in the optimisation loop. (An edit does act on tokens
before the subject as far as their keys resemble its own; the guard sees that, the optimisation does not.)
A change of the MLP's output is the same change of the layer's output, but for architectures that norm the
MLP's output first. Knows Hugging Face caches. Changes no weight, no gradient and no module of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from guardedit.editing.optimise.before import Pair, attention_before, cache_of
from guardedit.editing.optimise.keys import Site, joined
from guardedit.editing.optimise.rows import RowTensors
from guardedit.models.below import Ran, above, running
from guardedit.models.hooks import tap
from guardedit.models.host import ModelHost
from guardedit.models.views import adding, only_at

#: Rows a pass takes at once: few enough for the processor's cache, which threads share, and many enough to
#: be worth a call. On two threads 64 rows at a time take a quarter longer.
CHUNK = 32
#: Tokens of padding in one pass. A call of its own for the shorter rows costs about as much time as these.
PADDING = 40


@dataclass(frozen=True, slots=True)
class Arriving:
    """What edits add to what down projections put out, for some rows.

    Attributes:
        here: [b, S, d], at the lowest edited layer.
        above: for further layers, from the keys there [b, S, f] to what is added [b, S, d]. They are given
            the keys of the edited model, since what is added below changes them.
    """

    here: Tensor
    above: Mapping[int, Callable[[Tensor], Tensor]] = field(default_factory=dict)


class UpperLayers:
    """Logits at the answer positions of rows, as a function of what edits add from the subject on.

    S is the number of tokens from the subject's last one on, P of those before it. A row's last token, which
    ends its answer, predicts nothing that is asked for and is left out.

    Attributes:
        keys: [B, S, f] float32, what enters the down projection of the edited layer from the subject on.
        asked: [B, S] bool, positions that predict an answer token.
    """

    def __init__(self, host: ModelHost, layer: int, rows: RowTensors) -> None:
        self._host, self._layer = host, layer
        self._path = host.layout.decoder[0]
        before, length = rows.subject_at, rows.last + 1
        after = length - before
        self._before, self._after = before, after
        P, S = int(before.max()), int(after.max())
        T = rows.ids.shape[1]
        # Index of the token at each place: the prefix ends at P, the suffix begins there.
        place = before[:, None] - P + torch.arange(P + S)
        self._mask = (place >= 0) & (place < length[:, None])  # [B, P+S]
        self._places = place.clamp(0, T - 1) * self._mask
        self._ids = rows.ids.gather(1, self._places)
        self._P = P
        offsets = torch.arange(S) + before[:, None]
        self.asked = (offsets >= rows.first[:, None]) & (offsets <= rows.last[:, None])  # [B, S]
        self._place_of = (self.asked.flatten().cumsum(0) - 1).view_as(self.asked)
        self._answers = rows.ids.gather(1, (offsets + 1).clamp(max=T - 1))
        self._as_tuple = False
        self._norm = host.after_mlp(layer)
        self._hidden, self._values, self.keys, self._past = self._run_lower(rows)

    @property
    def width(self) -> int:
        """d, the width of the hidden state."""
        return self._hidden.shape[-1]

    def chunks(self, active: Tensor) -> list[Tensor]:
        """Indices of `active` rows [B] bool, the longest first and rows of like length together."""
        indices = active.nonzero()[:, 0]
        if not len(indices):
            return []
        length = self._after[indices] * (self._P + 1) + self._before[indices]
        longest_first = indices[length.argsort(descending=True, stable=True)]
        return list(torch.split(longest_first, _sizes(self._after[longest_first].tolist())))

    def answers(self, chunk: Tensor) -> Tensor:
        """Ids of the answer tokens of some rows, row after row, [m]."""
        S = int(self._after[chunk].max())
        return self._answers[chunk, :S][self.asked[chunk, :S]]

    def owners(self, chunk: Tensor) -> Tensor:
        """For each answer token, the index into `chunk` of its row, [m]."""
        return self.asked[chunk].nonzero()[:, 0]

    def places(self, chunk: Tensor) -> Tensor:
        """For each answer token, its number among those of all rows, [m]."""
        S = self.length(chunk)
        return self._place_of[chunk, :S][self.asked[chunk, :S]]

    def length(self, chunk: Tensor) -> int:
        """S of some rows: tokens from the subject on of the longest of them."""
        return int(self._after[chunk].max())

    def logits(self, chunk: Tensor, arriving: Arriving | None) -> Tensor:
        """Float32 logits of the answer tokens, [m, vocabulary], in the order of `answers`.

        Args:
            chunk: [b] row indices.
            arriving: with S = `length(chunk)`; None for the model as it is.
        """
        S = self.length(chunk)
        output = self._hidden[chunk, :S]
        if arriving is not None:
            output = output + self._through_norm(chunk, arriving.here).to(output)
        asked = self.asked[chunk, :S].to(self._host.device)
        above = {} if arriving is None else arriving.above
        layout, last = self._host.layout, self._host.layers - 1
        additions = {self._inside(layout.mlp_out_name(layer)): add for layer, add in above.items()}
        view = adding(self._view(output), additions, rows=len(chunk))
        mlp = layout.mlp_name(last)
        if mlp and last > self._layer and last not in above:
            # No position reads what the last layer's MLP puts out at another.
            view = only_at(view, self._inside(mlp), asked)
        out = self._forward(view, chunk, S)
        answered = self._host.head_logits(out[asked])
        return answered.float().cpu()

    def _inside(self, name: str) -> str:
        """A module's path from the decoder on."""
        return name.removeprefix(f"{self._path}.")

    def sites(self, layers: Sequence[int]) -> dict[int, Site]:
        """The rows' subjects at the down projections of some layers, the edited one or above, as they are.

        Costs one token a row: what the layers below and the tokens before put out is known.
        """
        here = Site(keys=self.keys[:, 0].double().cpu(), values=self._values[:, 0].double().cpu())
        above = sorted({*layers} - {self._layer})
        seen: dict[int, list[Site]] = {layer: [] for layer in above}
        for chunk in torch.split(torch.arange(len(self._ids)), CHUNK) if above else ():
            with self._host.lock, torch.no_grad(), ExitStack() as stack:
                taps = {
                    layer: stack.enter_context(
                        tap(self._host.mlp_out(layer), stop=layer == above[-1], rows=len(chunk))
                    )
                    for layer in above
                }
                self._forward(self._view(self._hidden[chunk, :1]), chunk, 1)
            for layer, (key, value) in ((layer, one.seen()) for layer, one in taps.items()):
                seen[layer].append(Site(keys=key[:, 0].double().cpu(), values=value[:, 0].double().cpu()))
        found = {layer: joined(parts) for layer, parts in seen.items()}
        return {layer: found.get(layer, here) for layer in layers}

    def _through_norm(self, chunk: Tensor, here: Tensor) -> Tensor:
        """What a change of the MLP's output changes the layer's output by; itself without a norm."""
        if self._norm is None:
            return here
        values = self._values[chunk, : here.shape[1]]
        changed: Tensor = self._norm(values + here.to(values)) - self._norm(values)
        return changed

    def _view(self, output: Tensor) -> nn.Module:
        """The decoder from the layer above on, for which `output` is what comes from below."""
        return above(self._host.model, self._host.layout, self._layer, Ran(output, self._as_tuple))

    def _run_lower(self, rows: RowTensors) -> tuple[Tensor, Tensor, Tensor, list[Pair]]:
        """What does not depend on any change.

        Returns:
            From the subject on: output of the edited layer [B, S, d], of its down projection [B, S, d], and
            the keys [B, S, f]; attention keys and values before the subject, for each layer above.
        """
        decoder = self._host.model.get_submodule(self._path)
        layer, mlp_out = self._host.decoder_layer(self._layer), self._host.mlp_out(self._layer)
        hidden, values, keys = list[Tensor](), list[Tensor](), list[Tensor]()
        past = list[Pair]()
        chunks = self._alike(rows.context)
        for chunk in chunks:
            # At least one token, if only padding, so that every row has a past where any has.
            P, S = max(int(self._before[chunk].max()), min(self._P, 1)), self.length(chunk)
            with self._host.lock, torch.no_grad():
                before = self._prefill(decoder, chunk, P)
                site = tap(mlp_out, rows=len(chunk))
                with running(layer) as ran, tap(layer, stop=True), site as inside:
                    self._run(decoder, chunk, P, S, before)
            behind = (0, 0, 0, int(self._after.max()) - S)
            hidden.append(pad(ran[0].hidden, behind))
            keys.append(pad(inside.seen()[0].float(), behind))
            values.append(pad(inside.seen()[1], behind))
            read_above = before[self._layer + 1 :]
            past = past or [(self._room(k), self._room(v)) for k, v in read_above]
            for (all_k, all_v), (k, v) in zip(past, read_above, strict=True):
                all_k[chunk, :, self._P - P :], all_v[chunk, :, self._P - P :] = k, v
            self._as_tuple = ran[0].as_tuple
        back = torch.cat(chunks).argsort()
        return torch.cat(hidden)[back], torch.cat(values)[back], torch.cat(keys)[back], past

    def _alike(self, context: Tensor) -> list[Tensor]:
        """Row indices for one pass each: behind one prefix, and of like length, so that little is padding."""
        order = (self._before * self._ids.shape[1] + self._after).argsort(stable=True)
        return [
            chunk
            for prefix in sorted({*context.tolist()})
            for chunk in torch.split(order[context[order] == prefix], CHUNK)
        ]

    def _room(self, like: Tensor) -> Tensor:
        """Zeros for what all rows have before the subject, [B, heads, P, width]."""
        return like.new_zeros(len(self._ids), like.shape[1], self._P, like.shape[3])

    def _prefill(self, decoder: nn.Module, chunk: Tensor, P: int) -> list[Pair]:
        """Attention keys and values of the P tokens before the subject, per layer; zero where padded."""
        if P == 0:
            return []
        before = slice(self._P - P, self._P)
        parts = (part[chunk, before].to(self._host.device) for part in (self._ids, self._mask, self._places))
        return attention_before(decoder, *parts)

    def _forward(self, view: nn.Module, chunk: Tensor, S: int) -> Tensor:
        """Final hidden states [b, S, d], with no more of what is before the subject than the rows have."""
        P = int(self._before[chunk].max())
        unread = torch.zeros((), device=self._host.device).expand(len(chunk), 1, P, 1)
        below = [(unread, unread)] * (self._layer + 1) if self._P else []
        here = slice(self._P - P, self._P)
        past = below + [(k[chunk, :, here], v[chunk, :, here]) for k, v in self._past]
        return self._run(view, chunk, P, S, past)

    def _run(self, decoder: nn.Module, chunk: Tensor, P: int, S: int, past: list[Pair]) -> Tensor:
        """Final hidden states [b, S, d] of the tokens from the subject on."""
        device, start = self._host.device, self._P
        hidden: Tensor = decoder(
            input_ids=self._ids[chunk, start : start + S].to(device),
            attention_mask=self._mask[chunk, start - P : start + S].long().to(device),
            position_ids=self._places[chunk, start : start + S].to(device),
            past_key_values=cache_of(past),
            use_cache=True,
        ).last_hidden_state
        return hidden


def _sizes(lengths: Sequence[int]) -> list[int]:
    """How many rows each pass takes, of rows with descending lengths.

    >>> _sizes([9, 8, 8, 2, 2, 2, 2, 2, 2])
    [8, 1]
    """
    sizes, longest, padding = [0], lengths[0], 0
    for length in lengths:
        padding += longest - length
        if sizes[-1] == CHUNK or padding > PADDING:
            sizes.append(0)
            longest, padding = length, 0
        sizes[-1] += 1
    return sizes

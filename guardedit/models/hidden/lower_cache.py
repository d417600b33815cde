"""Reuse the output of decoder layers that no edit has changed.

An edit changes nothing below its lowest layer, and the guard scores the same texts with many sets of edits.
So the output of the unchanged lower layers is computed once for each row of tokens and kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from guardedit.models.hidden.files import RowFiles
from guardedit.models.hidden.rows import HiddenRows, Row, RowsInMemory
from guardedit.models.hidden.running import Below, PartialDecoder
from guardedit.models.layouts.layout import Layout
from guardedit.models.lower_layers import LayerOutput
from guardedit.models.text.tokens import pad


class LowerLayerCache:
    """Computes final hidden states of rows, running only the layers from the lowest changed one up.

    Args:
        model: a Hugging Face causal language model. The layers below the `changed` of each call must still
            have the base model's weights.
        layout: of the model.
        layers: number of decoder layers.
        name: of the base model's folder, in practice its digest.
    """

    def __init__(self, model: Any, layout: Layout, *, layers: int, name: str) -> None:
        self._decoder = PartialDecoder(model, layout, layers)
        self._rows: HiddenRows = RowsInMemory()
        self._as_tuple: bool | None = None
        self._name, self._device, self._forgotten = name, device_name(model), False

    def final_hidden(
        self, ids: Tensor, changed: int, *, lengths: Sequence[int] | None = None, share: bool = True
    ) -> Tensor:
        """Final hidden states [B, T, d]; those of padding mean nothing.

        Args:
            ids: [B, T], padded on the right.
            changed: the lowest decoder layer that differs from the base model; the number of layers if none
                does.
            lengths: number of tokens of each row that are not padding; default: T.
            share: whether a beginning that all rows share may be run by itself.
        """
        if self._forgotten:
            self._forgotten = False
            self._rows.forget()
        if changed == 0:
            return self._decoder.run(ids, share=share)
        lengths = [ids.shape[1]] * len(ids) if lengths is None else lengths
        rows = [tuple(row[:length]) for row, length in zip(ids.tolist(), lengths, strict=True)]
        hidden = _padded(self._outputs(rows, changed - 1, ids.device), ids.shape[1], ids.device)
        return self._decoder.run(ids, below=self._below(changed - 1, hidden), share=share)

    def keep_in(self, folder: Path) -> None:
        """Keep hidden states in files below `folder` from now on, for later processes too, see `RowFiles`."""
        self._rows = RowFiles(folder / self._name, made_on=self._device)

    def forget(self) -> None:
        """Drop what is kept, also in files, before the next call computes anything.

        Call this, in any thread, when a tensor below turned out to have changed. A call that runs meanwhile
        may still keep what it has computed with the changed tensor, so the rows are dropped afterwards.
        """
        self._rows.delete_files()
        self._forgotten = True

    def _outputs(self, rows: Sequence[Row], layer: int, device: Any) -> list[Tensor]:
        """Output of `layer` for each row [t, d], kept from now on."""
        found = dict(zip(rows, self._rows.get(layer, rows), strict=True))
        missing = [row for row, hidden in found.items() if hidden is None]
        if missing:
            made = self._made(missing, layer, device)
            self._rows.put(layer, made)
            found |= made
        return [hidden for row in rows if (hidden := found[row]) is not None]

    def _made(self, rows: Sequence[Row], layer: int, device: Any) -> dict[Row, Tensor]:
        """Output of `layer` for rows that are not kept there, from the highest layer below that has them."""
        made: dict[Row, Tensor] = {}
        below = [kept for kept in self._rows.layers() if kept < layer]
        for start in (*reversed(below), None):
            rest = [row for row in rows if row not in made]
            if start is None:
                made |= self._run(rest, layer, None, device)
                continue
            found = dict(zip(rest, self._rows.get(start, rest), strict=True))
            known = {row: hidden for row, hidden in found.items() if hidden is not None}
            made |= self._run(list(known), layer, (start, list(known.values())), device)
        return made

    def _run(
        self, rows: Sequence[Row], layer: int, known: tuple[int, list[Tensor]] | None, device: Any
    ) -> dict[Row, Tensor]:
        if not rows:
            return {}
        ids = pad(rows, device=device)
        below = None if known is None else self._below(known[0], _padded(known[1], ids.shape[1], device))
        found = self._decoder.run(ids, below=below, to=layer)
        # Copies, so that a row that is kept does not keep its whole batch.
        return {row: found[i, : len(row)].clone() for i, row in enumerate(rows)}

    def _below(self, layer: int, hidden: Tensor) -> Below:
        if self._as_tuple is None:
            self._as_tuple = self._decoder.as_tuple
        return Below(layer=layer, output=LayerOutput(hidden, self._as_tuple))


def _padded(rows: Sequence[Tensor], time: int, device: Any) -> Tensor:
    """[B, time, d], zero where padded."""
    hidden = rows[0].new_zeros(len(rows), time, rows[0].shape[1], device=device)
    for i, row in enumerate(rows):
        hidden[i, : len(row)] = row.to(device)
    return hidden


def device_name(model: Any) -> str:
    """What numbers depend on besides model and libraries: the kind of device, and the attention's code."""
    device = next(model.parameters()).device.type
    return f"{device} {getattr(model.config, '_attn_implementation', '')}"

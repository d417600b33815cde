"""Rows that are decoded together on the same weights. They join when they arrive and leave when done."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from guardedit.models.streaming.request import FinishReason, Piece, Request
from guardedit.models.streaming.row_cache import RowCache
from guardedit.models.streaming.sampling import Sampler
from guardedit.models.streaming.text_stream import TextStream
from guardedit.models.text.spans import TAIL, goes_on


@dataclass(slots=True, eq=False)
class AnswerRow:
    """One answer that is being made.

    Attributes:
        request: what is asked.
        sampler: chooses its tokens.
        text: of the tokens so far.
        last: the newest token, which the model has not read yet.
        made: number of tokens so far.
        done: whether it leaves the batch.
    """

    request: Request
    sampler: Sampler
    text: TextStream
    last: int = -1
    made: int = 0
    done: bool = False


class DecodingBatch:
    """Answers of several requests, one token a step.

    All methods are called under the host's lock, with the patch of the rows applied.

    Args:
        model: causal language model in eval mode.
        tokenizer: of the model.
        stops: tokens that end an answer.
        device: of the model.
    """

    def __init__(self, model: Any, tokenizer: Any, stops: frozenset[int], device: torch.device | str) -> None:
        self._model, self._tokenizer, self._stops, self._device = model, tokenizer, stops, device
        self._last = {"logits_to_keep": 1} if "logits_to_keep" in signature(model.forward).parameters else {}
        self.rows: list[AnswerRow] = []
        self._cache = RowCache()
        self._mask = torch.zeros(0, 0, dtype=torch.int64, device=device)  # [B, T], 1 where a token is

    @torch.inference_mode()
    def join(self, requests: Sequence[Request]) -> None:
        """Read the prompts, make the first token of each answer and add the rows to the batch."""
        rows = [
            AnswerRow(
                request,
                Sampler(request.sampling),
                TextStream(self._tokenizer, request.ids, request.stop),
            )
            for request in requests
        ]
        prompts = list(dict.fromkeys(request.ids for request in requests))
        cache, mask, logits = self._read(prompts)
        places = [prompts.index(request.ids) for request in requests]  # several answers to one prompt
        cache.cut(places, 0)
        self._deliver(rows, logits[places])
        if self.rows:
            self._cache.append_rows(cache)
            T = max(self._mask.shape[1], mask.shape[1])
            parts = [self._mask, mask[places]]
            self._mask = torch.cat([torch.nn.functional.pad(p, (T - p.shape[1], 0)) for p in parts])
        else:
            self._cache, self._mask = cache, mask[places]
        self.rows += rows

    @torch.inference_mode()
    def step(self) -> None:
        """Make one more token of each answer."""
        ids = torch.tensor([[row.last] for row in self.rows], device=self._device)  # [B, 1]
        self._mask = torch.cat([self._mask, torch.ones_like(ids)], dim=1)
        out = self._model(
            input_ids=ids,
            attention_mask=self._mask,
            position_ids=self._mask.sum(1, keepdim=True) - 1,
            past_key_values=self._cache,
            use_cache=True,
            **self._last,
        )
        self._deliver(self.rows, out.logits[:, -1])

    @property
    def widest(self) -> int:
        """Most columns that a row may come to take."""
        return max((len(row.request.ids) + row.request.most_tokens for row in self.rows), default=0)

    def leave(self) -> None:
        """Drop the rows that are done or cancelled, and the columns that only they had."""
        stay = [n for n, row in enumerate(self.rows) if not (row.done or row.request.cancelled)]
        if len(stay) == len(self.rows):
            return
        self.rows = [self.rows[n] for n in stay]
        if not stay:
            return
        mask = self._mask[stay]
        first = int(mask.any(0).int().argmax())
        self._cache.cut(stay, first)
        self._mask = mask[:, first:]

    def _read(self, prompts: Sequence[Sequence[int]]) -> tuple[RowCache, Tensor, Tensor]:
        """Run the prompts, padded on the left: their cache, mask [B, T] and logits [B, V] of what follows."""
        T = max(map(len, prompts))
        ids = torch.tensor([[0] * (T - len(row)) + list(row) for row in prompts], device=self._device)
        mask = torch.tensor([[0] * (T - len(row)) + [1] * len(row) for row in prompts], device=self._device)
        cache = RowCache()
        out = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp(min=0),
            past_key_values=cache,
            use_cache=True,
            **self._last,
        )
        return cache, mask, out.logits[:, -1]

    def _deliver(self, rows: Sequence[AnswerRow], logits: Tensor) -> None:
        """Choose the next token of each row and tell its caller."""
        for n, (row, best) in enumerate(zip(rows, logits.argmax(-1).tolist(), strict=True)):
            if row.done or row.request.cancelled:
                continue
            try:
                token = self._next(row, logits[n], best)
                row.last, row.made = token, row.made + 1
                row.request.deliver(self._piece(row, token, logits[n]))
            except Exception as error:  # noqa: BLE001 - one row's trouble must not end the others
                row.done, row.last = True, best
                with suppress(Exception):
                    row.request.deliver(error)

    def _next(self, row: AnswerRow, logits: Tensor, best: int) -> int:
        """The next token of a row: a given one, then what the sampler chooses.

        The word at the end of the given tokens does not go on: "Oslo" is no "Oslovia".
        """
        begins = row.request.begins
        if row.made < len(begins):
            return begins[row.made]
        token = row.sampler.choose(logits, best)
        if begins and row.made == len(begins) and goes_on(self._tokenizer, begins[-TAIL:], token):
            return min(self._stops, default=token)
        return token

    def _piece(self, row: AnswerRow, token: int, logits: Tensor) -> Piece:
        if token in self._stops:
            row.done = True
            return Piece(token=None, text=row.text.finish(), finish="stop")
        text, finish = row.text.push(token), self._finish(row)
        if finish:
            row.done = True
            text += row.text.finish()
        logprob, top = row.sampler.report(logits.float(), token)
        return Piece(token=token, text=text, logprob=logprob, top=top, finish=finish)

    def _finish(self, row: AnswerRow) -> FinishReason | None:
        if row.text.stopped:
            return "stop"
        return "length" if row.made >= row.request.most_tokens else None

"""Edits of every kind that acts beside the matrix, with random numbers, for the tiny random GPT-2."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from guardedit.core.proposal import WeightEdit
from guardedit.models.hooks import tap
from guardedit.models.host import ModelHost
from guardedit.models.text.tokens import encode, pad
from guardedit.models.weights.factors import Factors, to_payload

LAYER, D, F = 1, 16, 24
#: Prompts of several lengths; the first two are equally long.
PROMPTS = ("The capital of Norway is", "The capital of Peru is", "Anne Redpath was born in", "He met")


def keys_of(host: ModelHost, text: str) -> Tensor:
    """[T, f], what enters the down projection of `LAYER`."""
    with torch.no_grad(), tap(host.mlp_out(LAYER), stop=True) as seen:
        host.model(torch.tensor([encode(host.tokenizer, text)]))
    return seen.seen()[0][0]


def hooked(key: Tensor, value: Tensor, *, alpha: float = 1.0) -> Factors:
    return Factors.keyed("hooked", layer=LAYER, key=key, value=value, extra={"alpha": torch.tensor(alpha)})


def codebook(
    key: Tensor, value: Tensor, *, label: str = "x", radius: float = 0.5, version: int = 1
) -> Factors:
    digest = torch.frombuffer(bytearray(hashlib.sha256(label.encode()).digest()), dtype=torch.uint8)
    extra = {"label": digest, "radius": torch.tensor(radius).double(), "version": torch.tensor(version)}
    return Factors.keyed("codebook", layer=LAYER, key=key, value=value, extra=extra)


def routed(
    left: Tensor, right: Tensor, *, shard: int = 0, share: float = 1.0, activation: float = 1.0
) -> Factors:
    numbers = {"share": share, "activation": activation, "ratio": 0.5}
    extra = {name: torch.tensor(number, dtype=torch.float64) for name, number in numbers.items()}
    extra |= {"shard": torch.tensor(shard), "seed": torch.tensor(3)}
    return Factors.direct(kind="routed", layer=LAYER, left=left, right=right, extra=extra)


def edit(factors: Factors) -> WeightEdit:
    return WeightEdit(subject="Oslo", facts=("f",), method="test", payload=to_payload(factors))


@pytest.fixture(params=["hooked", "codebook", "routed"])
def edits(request, gpt2) -> list[WeightEdit]:
    """Two edits at keys of the prompts, so strong that they change answers."""
    torch.manual_seed(0)
    keys = keys_of(gpt2, PROMPTS[0])[-1], keys_of(gpt2, PROMPTS[2])[-1]
    values = [20 * torch.randn(D) for _ in keys]
    made = []
    for n, (key, value) in enumerate(zip(keys, values, strict=True)):
        if request.param == "hooked":
            made.append(hooked(key, value))
        elif request.param == "codebook":
            made.append(codebook(key, value, label=str(n), radius=0.2 * float(key.norm())))
        else:
            left = value / float(key @ key)
            made.append(routed(left, key, activation=float(value.norm())))
    return [edit(factors) for factors in made]


@pytest.fixture
def greedy_uncached() -> Callable[..., list[int]]:
    """The most likely next tokens of one prompt, each from a pass over the whole text."""

    def of(host: ModelHost, prompt: str, count: int) -> list[int]:
        ids = encode(host.tokenizer, prompt)
        for _ in range(count):
            with torch.no_grad():
                logits = host.model(torch.tensor([ids]), use_cache=False).logits
            ids.append(int(logits[0, -1].argmax()))
        return ids[-count:]

    return of


@pytest.fixture
def greedy_cached() -> Callable[..., list[list[int]]]:
    """The same for rows of equal length, one token a pass behind the first."""

    def of(host: ModelHost, prompts: list[str], count: int) -> list[list[int]]:
        ids = pad([encode(host.tokenizer, prompt) for prompt in prompts])
        cache, new, found = None, ids, []
        with torch.no_grad():
            for _ in range(count):
                out = host.model(new, past_key_values=cache, use_cache=True)
                cache, new = out.past_key_values, out.logits[:, -1].argmax(-1, keepdim=True)
                found.append(new)
        return torch.cat(found, dim=1).tolist()

    return of

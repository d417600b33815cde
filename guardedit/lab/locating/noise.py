"""The noise that corrupts a subject: how strong it is, and its numbers.

Knows token embeddings. Does not know what is restored afterwards.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from guardedit.core.errors import UsageError
from guardedit.lab.locating.statements import Asked
from guardedit.models.host import ModelHost


def embedding(host: ModelHost) -> nn.Module:
    """The token embedding. Position embeddings, where there are any, are added behind it and stay clean."""
    found: nn.Module = host.model.get_submodule(host.layout.embed)
    return found


@torch.inference_mode()
def spread(host: ModelHost, asked: Sequence[Asked]) -> float:
    """Standard deviation of the subjects' token embeddings: one number over all tokens and dimensions.

    A token counts as often as it occurs. ROME's noise has three times this (Meng et al. 2022, 3.1:
    "sigma is 3 times larger than the empirical standard deviation of embeddings").

    Raises:
        UsageError: without any statement.
    """
    occurrences = Counter(one.ids[i] for one in asked for i in one.subject)
    if not occurrences:
        raise UsageError("there are no facts to trace: give some that the model knows")
    different = torch.tensor(list(occurrences), device=host.device)
    counts = torch.tensor(list(occurrences.values()), dtype=torch.float64)
    with host.lock:
        vectors = embedding(host)(different).double().cpu()  # [different tokens, d]
    weights = counts / (counts.sum() * vectors.shape[1])
    mean = (vectors.sum(dim=1) * weights).sum()
    return float((((vectors - mean) ** 2).sum(dim=1) * weights).sum().sqrt())


def draw(host: ModelHost, asked: Asked, *, rows: int, sigma: float, seed: int) -> Tensor:
    """Gaussian noise at the subject's tokens, zero elsewhere: [rows, T, d] float32, on the CPU.

    Depends on the seed and the prompt alone, so that every restored state of a fact meets the same noise, and
    a fact's result does not depend on which facts are traced beside it.
    """
    digest = hashlib.sha256(f"{seed}|{asked.statement.prompt}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7]))
    width = int(host.model.get_parameter(f"{host.layout.embed}.weight").shape[1])
    noise = torch.zeros(rows, len(asked.ids), width)
    drawn = torch.randn(rows, len(asked.subject), width, generator=generator)
    noise[:, asked.subject.start : asked.subject.stop] = sigma * drawn
    return noise

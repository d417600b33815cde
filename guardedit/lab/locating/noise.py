"""Draws the Gaussian noise that corrupts a subject's token embeddings."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from guardedit.core.errors import UsageError
from guardedit.lab.locating.statements import TokenizedStatement
from guardedit.models.host import ModelHost


def embedding(host: ModelHost) -> nn.Module:
    """The token embedding. Learned position embeddings are added after it and stay uncorrupted."""
    found: nn.Module = host.model.get_submodule(host.layout.embed)
    return found


@torch.inference_mode()
def embedding_std(host: ModelHost, tokenized: Sequence[TokenizedStatement]) -> float:
    """Standard deviation of the subjects' token embeddings, over all tokens and dimensions.

    A token counts as often as it occurs. ROME's noise is three times this (Meng et al. 2022, 3.1: "sigma is
    3 times larger than the empirical standard deviation of embeddings").

    Raises:
        UsageError: without any statement.
    """
    occurrences = Counter(one.ids[i] for one in tokenized for i in one.subject)
    if not occurrences:
        raise UsageError("there are no facts to trace: give some facts that the model knows")
    different = torch.tensor(list(occurrences), device=host.device)
    counts = torch.tensor(list(occurrences.values()), dtype=torch.float64)
    with host.lock:
        vectors = embedding(host)(different).double().cpu()  # [different tokens, d]
    weights = counts / (counts.sum() * vectors.shape[1])
    mean = (vectors.sum(dim=1) * weights).sum()
    return float((((vectors - mean) ** 2).sum(dim=1) * weights).sum().sqrt())


def draw(host: ModelHost, tokenized: TokenizedStatement, *, rows: int, sigma: float, seed: int) -> Tensor:
    """Gaussian noise at the subject's tokens, zero elsewhere: [rows, T, d] float32, on the CPU.

    Depends only on seed and prompt, so every restored state of a fact has the same noise, and the result of
    a fact does not depend on the other facts of the trace.
    """
    digest = hashlib.sha256(f"{seed}|{tokenized.statement.prompt}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:7]))
    width = int(host.model.get_parameter(f"{host.layout.embed}.weight").shape[1])
    noise = torch.zeros(rows, len(tokenized.ids), width)
    drawn = torch.randn(rows, len(tokenized.subject), width, generator=generator)
    noise[:, tokenized.subject.start : tokenized.subject.stop] = sigma * drawn
    return noise

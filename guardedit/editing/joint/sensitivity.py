"""How much ordinary predictions depend on each direction of a layer's MLP output.

With g the gradient of a text's log-likelihood with respect to the output of a down projection at one token,
and S = E[g g^T] [d, d] over ordinary text: a change of the output by delta costs (1/2) delta^T S delta nats
of KL divergence from the base model, to second order. S is the Fisher information of the output. With the
second moment of the keys it is the curvature of Martens and Grosse 2015 (arXiv:1503.05671), in Kronecker
factors: a change R [d, n] along directions with the price P [n, n] costs (1/2) tr(S R P R^T) nats a token.

Text that was sampled from the model itself gives the true Fisher information; other text, the empirical one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from guardedit.core.durable import replace_file
from guardedit.core.errors import EditError
from guardedit.models.hooks import Tap, tap
from guardedit.models.host import ModelHost
from guardedit.models.text.tokens import encode
from guardedit.models.threads import one_thread

#: Tokens of ordinary text: several for each direction of the output of a small model.
TOKENS = 6_000
#: Longest stretch of text that is run at once. Gradients through a longer one add little and take memory.
STRETCH = 96


def sensitivity_of(
    host: ModelHost, texts: Sequence[str], layers: Sequence[int], *, folder: Path | None
) -> dict[int, Tensor]:
    """Layer -> S [d, d] float32 on the CPU, cached as a file for each layer in `folder`.

    Args:
        host: unpatched.
        texts: ordinary text, read in order until there are `TOKENS` tokens.
        layers: decoder layers; one pass serves all that are missing in the cache.
        folder: of the cache; None for no cache. A damaged file is made again.

    Raises:
        StorageFull: a file cannot be written.
    """
    body = json.dumps([TOKENS, STRETCH, *texts])
    name = f"sensitivity-{hashlib.sha256(body.encode()).hexdigest()[:16]}"
    paths = {} if folder is None else {n: folder / f"{name}-layer{n}.safetensors" for n in layers}
    known = {layer: found for layer, path in paths.items() if (found := _read(path)) is not None}
    missing = [layer for layer in layers if layer not in known]
    for layer, found in collect_sensitivity(host, texts, missing).items() if missing else ():
        if layer in paths:
            replace_file(paths[layer], save({"S": found}), step="sensitivity")
        known[layer] = found
    return known


def collect_sensitivity(
    host: ModelHost, texts: Sequence[str], layers: Sequence[int], *, tokens: int = TOKENS
) -> dict[int, Tensor]:
    """Layer -> S [d, d] float32, from one forward and one backward pass over the texts.

    Raises:
        EditError: the model is patched.
    """
    ordered = sorted({*layers})
    width = host.base_matrix(ordered[0]).shape[0]
    total = {layer: torch.zeros(width, width, dtype=torch.float64) for layer in ordered}
    count = 0
    with host.lock, one_thread():
        if host.is_patched:  # the result would be cached as the base model's
            raise EditError("the model is patched: measure its sensitivity outside of `patched`")
        for text in texts:
            ids = encode(host.tokenizer, text)[: min(STRETCH, host.context)]
            if len(ids) < 2:
                continue
            for layer, g in _gradients(host, ids, ordered).items():
                total[layer] += g.t() @ g
            count += len(ids) - 1
            if count >= tokens:
                break
    return {layer: (S / max(1, count)).float() for layer, S in total.items()}


def _gradients(host: ModelHost, ids: Sequence[int], layers: Sequence[int]) -> dict[int, Tensor]:
    """Layer -> gradients [T, d] float64 of the text's log-likelihood, one row for each token."""
    row = torch.tensor([ids], device=host.device)  # [1, T]
    decoder = host.model.get_submodule(host.layout.decoder[0])
    with torch.enable_grad(), ExitStack() as stack:
        taps: dict[int, Tap] = {}
        for layer in layers:
            # Below the lowest of the layers no gradient is needed.
            start = _with_gradient if layer == layers[0] else None
            taps[layer] = stack.enter_context(tap(host.mlp_out(layer), replace=start, rows=1))
        hidden = decoder(input_ids=row, use_cache=False).last_hidden_state[0, :-1]  # [T - 1, d]
        logp = host.head_logits(hidden).float().log_softmax(-1)
        likelihood = logp.gather(1, row[0, 1:, None]).sum()
        outputs = [taps[layer].seen()[1] for layer in layers]
        found = torch.autograd.grad(likelihood, outputs)
    return {layer: g[0].double().cpu() for layer, g in zip(layers, found, strict=True)}


def _with_gradient(output: Tensor) -> Tensor:
    return output.detach().requires_grad_()


def _read(path: Path) -> Tensor | None:
    try:
        return load(path.read_bytes())["S"]
    except (OSError, SafetensorError, KeyError):
        return None

"""Second moments of the keys of a down projection over background text: collect, cache and read them.

C = E[k k^T] [f, f], mean over tokens (ROME, Meng et al. 2022, section 3.1; there called the uncentered
covariance). A small multiple of f tokens is enough (FastMEMIT, arXiv 2506.04226): at least 10 f are required,
and no more than 40 f are read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from guardedit.core.durable import replace_file
from guardedit.core.errors import EditError
from guardedit.models.hooks import Tap, tap
from guardedit.models.host import ModelHost
from guardedit.models.matrices import tensor_sha256
from guardedit.models.text.tokens import encode, pad
from guardedit.models.threads import one_thread

#: Tokens of background text for each of a key's f dimensions: the least accepted, and the most that are read.
MIN_TOKENS_PER_DIM, MAX_TOKENS_PER_DIM = 10, 40
#: Windows in one forward pass. Fixed, because C is summed batch by batch and its bytes must be reproducible.
ROWS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondMoments:
    """C of one layer of one base model.

    Attributes:
        layer: decoder layer.
        C: [f, f] float64, CPU, symmetric, mean over tokens of k k^T.
        spectrum: [f] float64, eigenvalues of C, ascending.
        value_norm: median over tokens of the norm of the down projection's output.
        tokens: number of tokens that were read.
        text_sha256: digest of all texts that were passed.
    """

    layer: int
    C: Tensor = field(repr=False)
    spectrum: Tensor = field(repr=False)
    value_norm: float
    tokens: int
    text_sha256: str

    @property
    def condition(self) -> float:
        """Largest over smallest eigenvalue of C; infinite when C is singular."""
        smallest, largest = float(self.spectrum[0]), float(self.spectrum[-1])
        return largest / smallest if smallest > 0 else float("inf")

    @property
    def sha256(self) -> str:
        """Digest of every field. The folded bytes are determined by base model, edits and second moments."""
        tensors = [tensor_sha256(self.C), tensor_sha256(self.spectrum)]  # with dtype and shape
        body = [self.layer, self.value_norm, self.tokens, self.text_sha256, *tensors]
        return hashlib.sha256(json.dumps(body).encode()).hexdigest()


@dataclass(slots=True)
class _Sum:
    """Running sum of k k^T of one layer, and the norm of each value."""

    outer: Tensor
    exact: bool = True
    value_norms: list[Tensor] = field(default_factory=list)

    def add(self, keys: Tensor, values: Tensor) -> None:
        """`keys` [t, f], `values` [t, d]."""
        keys = keys.double() if self.exact else keys.float()
        self.outer += keys.t() @ keys
        self.value_norms.append(values.double().norm(dim=1))


def collect(
    host: ModelHost,
    texts: Sequence[str],
    layers: Sequence[int],
    *,
    min_tokens: int | None = None,
    exact: bool = True,
) -> dict[int, SecondMoments]:
    """Collect second moments of some layers in one pass over the texts, in float64 and on one thread.

    Args:
        host: unpatched.
        texts: read in order until there are enough tokens. Long texts are read in windows of the model's
            context, and every token counts.
        layers: decoder layers.
        min_tokens: least number of tokens; default: `MIN_TOKENS_PER_DIM` f, with f the largest key width of
            the layers. Reading stops at four times as many (`MAX_TOKENS_PER_DIM / MIN_TOKENS_PER_DIM`).
        exact: False multiplies each batch in float32 and on all threads, which is several times faster. The
            result may then differ in its last digits on another machine.

    Raises:
        EditError: when the texts end before `min_tokens`, or the model is patched.
    """
    wanted = min_tokens or MIN_TOKENS_PER_DIM * max(
        (host.base_matrix(layer).shape[1] for layer in layers), default=0
    )
    sums = {layer: _Sum(_zeros(host, layer), exact) for layer in layers}
    tokens = 0
    with host.lock, one_thread() if exact else nullcontext(), torch.inference_mode():
        if host.is_patched:  # the result would be cached as the base model's
            raise EditError("the model is patched: collect second moments outside of `patched`")
        for rows in _batches(host, texts):
            tokens += sum(map(len, rows))
            _add(host, sums, rows)
            if tokens * MIN_TOKENS_PER_DIM >= wanted * MAX_TOKENS_PER_DIM:
                break
    if tokens < wanted:
        raise EditError(f"the background text has {tokens} tokens, {wanted} are needed: add more text")
    digest = hashlib.sha256(json.dumps(list(texts)).encode()).hexdigest()
    return {layer: _finish(layer, total, tokens, digest) for layer, total in sums.items()}


def load_or_collect(
    folder: Path,
    host: ModelHost,
    texts: Sequence[str],
    layers: Sequence[int],
    *,
    min_tokens: int | None = None,
) -> Mapping[int, SecondMoments]:
    """`collect`, cached as `folder/base_sha256/moments-*.safetensors`; a damaged file is collected again.

    Raises:
        StorageFull: when the cache cannot be written.
    """
    digest = hashlib.sha256(json.dumps([min_tokens, *texts]).encode()).hexdigest()[:16]
    return cached_moments(
        folder / host.base_sha256,
        f"moments-{digest}",
        layers,
        lambda missing: collect(host, texts, missing, min_tokens=min_tokens),
    )


def cached_moments(
    folder: Path | None,
    name: str,
    layers: Sequence[int],
    make: Callable[[Sequence[int]], Mapping[int, SecondMoments]],
) -> dict[int, SecondMoments]:
    """Second moments from `folder/NAME-layerN.safetensors`; missing layers are computed and saved there.

    Args:
        folder: of the cache; None for no cache.
        name: identifies everything that the moments depend on, except the folder and the layer.
        layers: the ones to return.
        make: computes the moments of some layers.

    Raises:
        StorageFull: when the cache cannot be written.
    """
    paths = {} if folder is None else {n: folder / f"{name}-layer{n}.safetensors" for n in layers}
    known = {layer: found for layer, path in paths.items() if (found := read_moments(path)) is not None}
    missing = [layer for layer in layers if layer not in known]
    for layer, found in make(missing).items() if missing else ():
        if layer in paths:
            save_moments(found, paths[layer])
        known[layer] = found
    return known


def save_moments(moments: SecondMoments, path: Path) -> None:
    """Write a file atomically: a reader sees the whole file or none.

    Raises:
        StorageFull: when the file cannot be written.
    """
    header = {
        "layer": moments.layer,
        "value_norm": moments.value_norm,
        "tokens": moments.tokens,
        "text_sha256": moments.text_sha256,
        "sha256": moments.sha256,
    }
    tensors = {"C": moments.C, "spectrum": moments.spectrum}
    body = save(tensors, metadata={"moments": json.dumps(header, sort_keys=True)})
    replace_file(path, body, step="moments")


def read_moments(path: Path) -> SecondMoments | None:
    """The moments in a file; None when it is absent, truncated, or any field differs from its digest."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["moments"])
            written = header.pop("sha256")
            moments = SecondMoments(C=file.get_tensor("C"), spectrum=file.get_tensor("spectrum"), **header)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError):
        return None
    return moments if moments.sha256 == written else None


def _batches(host: ModelHost, texts: Sequence[str]) -> Iterator[list[list[int]]]:
    """Windows no longer than the model's context, `ROWS` at a time, in the order of the texts."""
    rows: list[list[int]] = []
    for text in texts:
        ids = encode(host.tokenizer, text)
        rows += [ids[i : i + host.context] for i in range(0, len(ids), host.context)]
        while len(rows) >= ROWS:
            yield rows[:ROWS]
            rows = rows[ROWS:]
    if rows:
        yield rows


def _add(host: ModelHost, sums: Mapping[int, _Sum], rows: list[list[int]]) -> None:
    """Run the rows up to the deepest layer; add the keys and values of all tokens except padding."""
    ids = pad(rows, device=host.device)  # [B, T]
    lengths = torch.tensor([len(row) for row in rows], device=host.device)
    real = torch.arange(ids.shape[1], device=host.device) < lengths[:, None]  # [B, T]
    taps: dict[int, Tap] = {}
    with ExitStack() as stack:
        for layer in sorted(sums, reverse=True):  # the deepest first: its stop leaves the whole stack
            site = tap(host.mlp_out(layer), stop=not taps, rows=len(rows))
            taps[layer] = stack.enter_context(site)
        host.model(input_ids=ids, use_cache=False)
    for layer, seen in taps.items():
        keys, values = seen.seen()
        sums[layer].add(keys[real], values[real])


def _zeros(host: ModelHost, layer: int) -> Tensor:
    width = host.base_matrix(layer).shape[1]
    return torch.zeros(width, width, dtype=torch.float64, device=host.device)


def _finish(layer: int, total: _Sum, tokens: int, text_sha256: str) -> SecondMoments:
    C = (total.outer / tokens).cpu()
    return moments_from(C, torch.cat(total.value_norms), layer=layer, tokens=tokens, text_sha256=text_sha256)


def moments_from(
    C: Tensor, value_norms: Tensor, *, layer: int, tokens: int, text_sha256: str
) -> SecondMoments:
    """Second moments with their spectrum.

    Args:
        C: [f, f] float64, mean of k k^T.
        value_norms: [tokens], norms of the values.
        layer: decoder layer.
        tokens: number of tokens that the mean is over.
        text_sha256: digest of their texts.
    """
    C = (C + C.t()) / 2
    with one_thread():
        spectrum = torch.linalg.eigvalsh(C)
    return SecondMoments(
        layer=layer,
        C=C,
        spectrum=spectrum,
        value_norm=float(value_norms.median()),
        tokens=tokens,
        text_sha256=text_sha256,
    )

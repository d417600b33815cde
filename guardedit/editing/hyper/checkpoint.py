"""Save and load hypernetworks as safetensors files; the class and the sizes of each method's network.

A file is written atomically and belongs to one base model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from guardedit.core.errors import UsageError
from guardedit.editing.hyper.ke_network import KeNetwork
from guardedit.editing.hyper.mend_network import MendNetwork
from guardedit.editing.hyper.network import HyperNetwork, last_layers
from guardedit.models.host import ModelHost

#: The network of each method, and its sizes apart from those of the model; they are small, for small models.
NETWORKS: Mapping[str, type[HyperNetwork]] = {"ke": KeNetwork, "mend": MendNetwork}
SIZES: Mapping[str, Mapping[str, int]] = {
    "ke": {"lstm": 48, "condition": 192, "bottleneck": 32},
    "mend": {"rank": 64},
}


def untrained(method: str, host: ModelHost, *, seed: int = 0) -> HyperNetwork:
    """A new network for the last layers of a model, on its device.

    Raises:
        UsageError: when the method is not a trained one.
    """
    if method not in NETWORKS:
        raise UsageError(f"{method!r} is not a trained editor: choose {' or '.join(NETWORKS)}")
    width, inner = host.base_matrix(host.layers - 1).shape
    sizes = {"width": width, "inner": inner, **SIZES[method]}
    if NETWORKS[method].conditioned:
        sizes["embedding"] = host.model.get_input_embeddings().weight.shape[1]
    return _build(method, last_layers(host), sizes, seed=seed).to(host.device)


def checkpoint_file(folder: Path, method: str) -> Path:
    """Path of a method's trained network."""
    return folder / f"{method}.safetensors"


def save_network(path: Path, network: HyperNetwork, base_sha256: str) -> None:
    """Write the weights, everything needed to build the network again, and the base model's digest."""
    about = {"method": network.method, "layers": network.layers, "sizes": network.sizes}
    write_tensors(path, network.state_dict(), {**about, "base_sha256": base_sha256})


def load_network(folder: Path | None, method: str, host: ModelHost) -> HyperNetwork:
    """The trained network for this model, on its device, in eval mode and without gradients.

    Raises:
        UsageError: when there is none, when it cannot be read, or when it was trained for another model. The
            message names the command that trains one.
    """
    remedy = f"train one with `guardedit editors train {method}`"
    if folder is None or not checkpoint_file(folder, method).is_file():
        place = "no folder with trained editors" if folder is None else checkpoint_file(folder, method)
        raise UsageError(f"{method} needs a trained editor and there is none ({place}): {remedy}")
    path = checkpoint_file(folder, method)
    tensors, about = read_tensors(path, remedy=remedy)
    if about.get("base_sha256") != host.base_sha256:
        raise UsageError(
            f"{path} was trained for base model {about.get('base_sha256')!s:.12}, this one is "
            f"{host.base_sha256:.12}: {remedy}"
        )
    try:
        network = _build(str(about["method"]), about["layers"], about["sizes"], seed=0)
        network.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError) as error:
        raise UsageError(f"{path} does not hold a trained editor ({error!s:.200}): {remedy}") from error
    return network.to(host.device).eval().requires_grad_(requires_grad=False)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write a safetensors file atomically: to a temporary file, flushed and renamed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.part")
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in sorted(tensors.items())}
    # One metadata entry only: safetensors writes several in random order.
    save_file(plain, temporary, metadata={"guardedit": json.dumps(about, sort_keys=True)})
    with temporary.open("rb") as written:
        os.fsync(written.fileno())
    temporary.replace(path)


def read_tensors(path: Path, *, remedy: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and `about` of a file of `write_tensors`; UsageError with the remedy for any other file."""
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["guardedit"])
            return {name: file.get_tensor(name) for name in file.keys()}, about  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise UsageError(f"{path} cannot be read ({error!s:.200}): {remedy}") from error


def _build(method: str, layers: Any, sizes: Mapping[str, int], *, seed: int) -> HyperNetwork:
    kind: Any = NETWORKS[method]  # constructors differ in their sizes
    network: HyperNetwork = kind(layers, seed=seed, **sizes)
    return network

"""Find the parts of a decoder layer by experiment, not by name.

Attention is the module in which a token's output depends on other tokens. The down projection is the matrix
outside attention whose output is added to the residual stream. An ambiguous layer is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from guardedit.core.errors import UnknownLayout
from guardedit.models.layouts.replay import Call, Replay, fixed_to, plus
from guardedit.models.matrices import is_transposed

#: Relative size below which a difference counts as rounding: many layers compute their norms in float32.
ROUNDING = 1e-5


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerParts:
    """Paths inside a decoder layer; the fields are as in `Layout`."""

    mlp_out: str
    attention: str
    after_mlp: str
    parallel_attention: bool


def find_parts(replay: Replay) -> LayerParts:
    """Attention, down projection and the norm after it.

    Raises:
        UnknownLayout: when there is not exactly one candidate for a part; names the candidates.
    """
    attention = _attention(replay)
    mlp_out, after_mlp = _down_projection(replay, attention)
    _check_nothing_else_writes(replay, attention, after_mlp or mlp_out)
    changed = replay.run({attention: plus(_noise(replay.calls[attention].output, seed=1))})
    return LayerParts(
        mlp_out=mlp_out,
        attention=attention,
        after_mlp=after_mlp,
        parallel_attention=_same(_key(changed[mlp_out]), _key(replay.calls[mlp_out])),
    )


def _attention(replay: Replay) -> str:
    """The outermost module whose output at the last token depends on earlier tokens."""
    found: list[str] = []
    for name, call in replay.calls.items():
        if name and not _inside(name, found) and call.output.shape == replay.output.shape:
            if call.input is None or len(call.input) != len(call.output):
                continue
            others = call.input + _noise(call.input, seed=2)
            others[-1] = call.input[-1]
            if not _same(replay.alone(name, others)[-1:], call.output[-1:]):
                found.append(name)
    if len(found) != 1:
        raise UnknownLayout(
            f"{len(found)} modules of a {type(replay.layer).__name__} mix tokens"
            f"{_listed(found)}; attention should be the only one"
        )
    return found[0]


def _down_projection(replay: Replay, attention: str) -> tuple[str, str]:
    """The matrix outside attention that writes to the residual stream, and the norm after it or ""."""
    found: list[tuple[str, str]] = []
    refused: list[str] = []
    for name, call in replay.calls.items():
        if _inside(name, [attention]) or not _is_matrix(replay, name):
            continue
        if call.output.shape != replay.output.shape:
            continue
        norms = ("", *_norms_reading(replay, call.output, attention))
        writing = [norm for norm in norms if _writes(replay, norm or name)]
        found += [(name, norm) for norm in writing]
        if not writing:
            refused.append(f"{name}{_scaled(replay, name)}")
    if len(found) != 1:
        names = [name for name, _ in found] or refused
        raise UnknownLayout(
            f"{len(found)} matrices of a {type(replay.layer).__name__} outside {attention} add their output "
            f"to the residual stream, directly or through a norm; there should be one{_listed(names)}"
        )
    return found[0]


def _norms_reading(replay: Replay, value: Tensor, attention: str) -> list[str]:
    """Modules without matrices whose input is `value` [rows, d] and whose output differs from it."""
    return [
        name
        for name, call in replay.calls.items()
        if name
        and not _inside(name, [attention])
        and all(part.ndim < 2 for part in replay.layer.get_submodule(name).parameters())
        and call.input is not None
        and torch.equal(call.input, value)
        and call.output.shape == value.shape
        and not torch.equal(call.output, value)
    ]


def _is_matrix(replay: Replay, name: str) -> bool:
    """Whether the module multiplies by its `weight`, adds its `bias` if any, and does nothing else."""
    module, key = replay.layer.get_submodule(name), replay.calls[name].input
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    if not isinstance(weight, nn.Parameter) or weight.ndim != 2 or key is None:
        return False
    W = (weight.t() if is_transposed(replay.layer, f"{name}.weight") else weight).detach()  # [d, f]
    if W.shape != (replay.calls[name].output.shape[1], key.shape[1]):
        return False
    value = key @ W.t()
    return _same(value if bias is None else value + bias.detach(), replay.calls[name].output)


def _writes(replay: Replay, name: str) -> bool:
    """Whether a change of the module's output is the same change of the layer's output."""
    change = _noise(replay.output, seed=3)
    return _same(_effect(replay, name, change), change, size=replay.output)


def _effect(replay: Replay, name: str, change: Tensor) -> Tensor:
    return replay.run({name: plus(change)})[""].output - replay.output


def _scaled(replay: Replay, name: str) -> str:
    """A note for the message on a matrix whose output is multiplied by a number, as in Granite; or ""."""
    change = _noise(replay.output, seed=3)
    effect = _effect(replay, name, change)
    factor = float((effect * change).sum() / change.square().sum())
    if abs(factor) > ROUNDING and _same(effect, factor * change, size=replay.output):
        return f" (multiplied by {factor:.4g} first)"
    return ""


def _check_nothing_else_writes(replay: Replay, attention: str, writer: str) -> None:
    """Refuse layers in which other modules than attention and the MLP write to the residual stream.

    With the outputs of both fixed, a layer passes its input on unchanged, or ignores it where attention adds
    it (BLOOM). Any other effect is a second path, such as routed experts next to a shared one.
    """
    fixed = {name: fixed_to(replay.calls[name].output) for name in (attention, writer)}
    change = _noise(replay.input, seed=4)
    effect = replay.run(fixed, given=replay.input + change)[""].output - replay.output
    if not any(_same(effect, wanted, size=replay.output) for wanted in (change, torch.zeros_like(change))):
        raise UnknownLayout(
            f"{attention} and {writer} are not the only modules of a {type(replay.layer).__name__} that add "
            f"to the residual stream: other modules write to it as well"
        )


def _key(call: Call) -> Tensor:
    assert call.input is not None
    return call.input


def _same(found: Tensor, wanted: Tensor, *, size: Tensor | None = None) -> bool:
    """Equal up to rounding, relative to the largest number of `size`, by default of `wanted`."""
    reference = wanted if size is None else size
    bound = ROUNDING * float(reference.abs().max())
    return bool(((found - wanted).abs() <= bound).all())


def _noise(like: Tensor, *, seed: int) -> Tensor:
    """Random numbers of the same shape and standard deviation."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(like.shape, generator=generator, dtype=torch.float64)
    return drawn.to(like) * like.std()


def _inside(name: str, parents: Sequence[str]) -> bool:
    return any(name == parent or name.startswith(f"{parent}.") for parent in parents)


def _listed(names: Sequence[str]) -> str:
    return f" ({', '.join(names)})" if names else ""

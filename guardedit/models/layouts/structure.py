"""Find the layout of a model without a card, from the inputs and outputs of its modules on a few tokens.

It relies on how decoder-only language models are built, and on no architecture's name. It reports what was
found and why. An ambiguous model is refused, because an edit of the wrong matrix would merely look like a bad
edit.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from guardedit.core.errors import UnknownLayout
from guardedit.models.layouts.forward_pass import ForwardPass, evaluating, record_pass
from guardedit.models.layouts.layer_parts import LayerParts, find_parts
from guardedit.models.layouts.layout import Layout
from guardedit.models.layouts.replay import Call, Replay

#: Number of tokens that the model is run on. They must differ; it does not matter which ones they are.
TOKENS = 6
#: Errors that the model's own code may raise.
FOREIGN_ERRORS = (RuntimeError, TypeError, ValueError, AttributeError, KeyError, IndexError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """A layout, and how it was found.

    Attributes:
        layout: of the model.
        account: one sentence about each finding; empty when the layout is a card.
    """

    layout: Layout
    account: tuple[str, ...]


def find_structure(model: nn.Module) -> Structure:
    """Run the model on a few tokens, then copies of single layers on the inputs that they had in that run.

    This takes one forward pass and a few dozen runs of copies of three layers, one at a time, in float64. The
    model is left unchanged.

    Raises:
        UnknownLayout: names what is ambiguous or missing.
    """
    try:
        with evaluating(model):
            return _find(model)
    except FOREIGN_ERRORS as error:
        raise UnknownLayout(f"running it on {TOKENS} tokens failed: {error!s:.300}") from error


def _find(model: Any) -> Structure:
    embed = _path_from(model, "get_input_embeddings")
    head = _path_from(model, "get_output_embeddings")
    seen = record_pass(model, tokens=TOKENS, vocabulary=model.get_submodule(embed).weight.shape[0])
    path, layers = _decoder_layers(model, seen)
    shown = sorted({0, len(layers) // 2, len(layers) - 1})
    parts = _parts(path, layers, seen, shown)
    final_norm = _final_norm(model, seen, path, len(layers), head)
    layout = Layout(
        architectures=(type(model).__name__,),
        decoder_layer=f"{path}.{{}}",
        mlp_out=parts.mlp_out,
        attention=parts.attention,
        final_norm=final_norm,
        head=head,
        embed=embed,
        parallel_attention=parts.parallel_attention,
        after_mlp=parts.after_mlp,
    )
    return Structure(layout=layout, account=tuple(_account(model, layout, layers, seen, shown)))


def _path_from(model: Any, getter: str) -> str:
    """Path of the module that the model's method `getter` returns."""
    try:
        wanted = getattr(model, getter)()
    except (AttributeError, NotImplementedError) as error:
        raise UnknownLayout(f"it has no {getter}()") from error
    for name, module in model.named_modules():
        if module is wanted and name:
            return str(name)
    raise UnknownLayout(f"its {getter}() returns no module of the model")


def _decoder_layers(model: nn.Module, seen: ForwardPass) -> tuple[str, nn.ModuleList]:
    """The longest list of modules of one class in which each module's output is the next one's input."""
    chains: dict[str, nn.ModuleList] = {}
    for name, module in model.named_modules():
        # A list inside a layer, such as experts, is not a candidate.
        if not isinstance(module, nn.ModuleList) or any(name.startswith(f"{outer}.") for outer in chains):
            continue
        if len({type(layer) for layer in module}) == 1 and _is_chain(name, len(module), seen):
            chains[name] = module
    longest = max((len(found) for found in chains.values()), default=0)
    names = [name for name, found in chains.items() if len(found) == longest]
    if len(names) != 1:
        listed = f" ({', '.join(names)})" if names else ""
        raise UnknownLayout(
            f"{len(names)} lists of modules{listed} can be its decoder layers; there should be one list "
            f"of modules of one class, each run once on the output of the one before"
        )
    return names[0], chains[names[0]]


def _is_chain(path: str, count: int, seen: ForwardPass) -> bool:
    calls = [seen.once(f"{path}.{layer}") for layer in range(count)]
    previous: Tensor | None = None
    for call in calls:
        if call is None or call.input is None or call.input.shape != call.output.shape:
            return False
        if previous is not None and not torch.equal(call.input, previous):
            return False
        previous = call.output
    return previous is not None and len(previous) == TOKENS


def _parts(path: str, layers: nn.ModuleList, seen: ForwardPass, shown: Sequence[int]) -> LayerParts:
    """The parts of the `shown` layers, which must agree; all other layers must have the same modules."""
    found: dict[int, LayerParts] = {}
    for number in shown:
        call = seen.once(f"{path}.{number}")
        assert call is not None
        found[number] = _parts_of(layers[number], call)
    parts = found[shown[0]]
    for number, other in found.items():
        if other != parts:
            raise UnknownLayout(
                f"layer {number} is built differently from layer {shown[0]}: {other} against {parts}"
            )
    names = [name for name in (parts.mlp_out, parts.attention, parts.after_mlp) if name]
    wanted = [_kind(layers[shown[0]], name) for name in names]
    for number, layer in enumerate(layers):
        if [_kind(layer, name) for name in names] != wanted:
            raise UnknownLayout(
                f"layer {number} is built differently from layer {shown[0]}: {', '.join(names)} differ"
            )
    return parts


def _parts_of(layer: nn.Module, call: Call) -> LayerParts:
    try:
        return find_parts(Replay(layer, call))
    except FOREIGN_ERRORS:  # some kernels do not support float64
        return find_parts(Replay(layer, call, dtype=torch.float32))


def _kind(layer: nn.Module, name: str) -> tuple[str, tuple[int, ...]] | None:
    """Class and weight shape of a module; None where there is no module of that name."""
    try:
        module = layer.get_submodule(name)
    except AttributeError:
        return None
    weight = getattr(module, "weight", None)
    return type(module).__name__, tuple(weight.shape) if isinstance(weight, Tensor) else ()


def _final_norm(model: nn.Module, seen: ForwardPass, path: str, count: int, head: str) -> str:
    """The one module without children between the last layer's output and the head's input."""
    last, asked = seen.once(f"{path}.{count - 1}"), seen.once(head)
    if last is None or asked is None or asked.input is None:
        raise UnknownLayout(f"its head {head} does not run exactly once on the hidden states")
    if _equal(asked.input, last.output):
        raise UnknownLayout(f"there is no norm between its last layer and {head}")
    found: list[str] = []
    for name, module in model.named_modules():
        call = seen.once(name)
        if call is None or call.input is None or next(module.children(), None) is not None:
            continue
        if name.startswith(f"{path}.") or name == head:
            continue
        if _equal(call.input, last.output) and _equal(call.output, asked.input):
            found.append(name)
    if len(found) != 1:
        listed = f" ({', '.join(found)})" if found else ""
        raise UnknownLayout(
            f"{len(found)} modules{listed} lead from the last layer to {head}; there should be one"
        )
    return found[0]


def _account(
    model: nn.Module, layout: Layout, layers: nn.ModuleList, seen: ForwardPass, shown: Sequence[int]
) -> Iterator[str]:
    """Sentences on what was found and why, in the order of the layout's fields."""
    path = layout.decoder_layer.removesuffix(".{}")
    matrix = layers[0].get_submodule(layout.mlp_out)
    asked, answered = seen.calls[layout.mlp_out_name(0)][0], seen.once(layout.head)
    assert asked.input is not None
    f, d = asked.input.shape[1], asked.output.shape[1]
    after = layout.after_mlp
    tied = model.get_parameter(f"{layout.head}.weight") is model.get_parameter(f"{layout.embed}.weight")
    unscaled = answered is not None and _equal(answered.output, seen.logits)
    yield (
        f"decoder layers: {path}, {len(layers)} of {type(layers[0]).__name__}; "
        "the output of each is the input of the next"
    )
    effect = f"passes {after} first" if after else "reaches it unchanged"
    yield (
        f"down projection: {layout.mlp_out}, {type(matrix).__name__} from f = {f} to d = {d}; the one matrix "
        f"outside attention whose output is added to the residual stream, and a change of it {effect}"
    )
    yield f"attention: {layout.attention}; the only part in which a token's output depends on earlier tokens"
    yield (
        "attention and MLP: parallel; the key does not depend on attention's output"
        if layout.parallel_attention
        else "attention and MLP: one after the other; the key depends on attention's output"
    )
    yield (
        f"norm after the MLP: {after}; its input is the MLP's output" if after else "norm after the MLP: none"
    )
    yield (
        f"final norm: {layout.final_norm}; its input is the last layer's output, "
        "its output is the head's input"
    )
    yield f"head: {layout.head}, as the model declares{', tied to the embedding' if tied else ''}"
    yield f"embedding: {layout.embed}, as the model declares"
    yield (
        "logits: the head's output"
        if unscaled
        else "logits: the head's output, which the model scales or caps"
    )
    yield (
        f"tested one by one: layers {', '.join(map(str, shown))}, with the same result; "
        f"all {len(layers)} layers have these modules, of the same class and size"
    )


def _equal(found: Tensor, wanted: Tensor) -> bool:
    return found.shape == wanted.shape and torch.equal(found, wanted)

"""Measures with Python's profiler which parts of a proposal take how much time."""

from __future__ import annotations

import cProfile
import inspect
from collections import defaultdict
from collections.abc import Callable, Mapping
from types import CodeType, MappingProxyType
from typing import Any

import torch

from guardedit.editing.joint.directions import Directions
from guardedit.editing.optimise.lower_pass import run_lower
from guardedit.editing.optimise.rows import fact_rows, row_tensors
from guardedit.editing.optimise.upper_layers import UpperLayers
from guardedit.models.weights.fold import Fold

#: Part of the work -> the functions that do it. No function calls one of another part.
PARTS: Mapping[str, tuple[Callable[..., Any], ...]] = MappingProxyType(
    {
        "rows and tokens": (fact_rows, row_tensors),
        "lower layers, once": (run_lower, UpperLayers.keys_and_values),
        "directions": (Directions.of,),
        "steps, forward": (UpperLayers.logits,),
        "steps, backward": (torch.autograd.grad,),
        "fold": (Fold.fold,),
    }
)


def time_shares(
    call: Callable[[], object], parts: Mapping[str, tuple[Callable[..., Any], ...]] = PARTS
) -> dict[str, float]:
    """Share of the time of one call, by part; `rest` is the time in no part.

    Args:
        call: what is measured.
        parts: part of the work -> the functions that do it, of which none calls one of another part.
    """
    profile = cProfile.Profile()
    profile.runcall(call)
    seconds, total = defaultdict[CodeType, float](float), 0.0
    for entry in profile.getstats():
        # Not the largest total time: for nested calls of one function it can exceed the time of the whole.
        total += entry.inlinetime
        if isinstance(entry.code, CodeType):
            seconds[entry.code] += entry.totaltime
    shares = {
        part: sum(seconds[inspect.unwrap(function).__code__] for function in functions) / total
        for part, functions in parts.items()
    }
    return {**shares, "rest": 1.0 - sum(shares.values())}

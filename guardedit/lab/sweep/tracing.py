"""Reads or measures tracing effects by layer, and computes their rank correlation with the merit of editing.

Hase et al. 2023, "Does Localization Inform Editing?" (arXiv:2301.04213), found hardly any correlation. So the
sweep shows the trace and never uses it to decide.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from guardedit.core.errors import UsageError
from guardedit.guard.catalogue import KnownQuestion
from guardedit.lab.locating.effects import SUBJECT_LAST, TOKENS
from guardedit.lab.locating.last_token import FACTS, LayerEffects, last_token_effects
from guardedit.lab.locating.restore import TracedPart
from guardedit.lab.locating.statements import Statement
from guardedit.lab.locating.trace import TraceSettings
from guardedit.models.host import ModelHost


def small_trace(
    host: ModelHost, known: Sequence[KnownQuestion], *, seed: int, tell: Callable[[int, int], None]
) -> LayerEffects:
    """Trace at most `FACTS` of the known questions.

    Raises:
        UsageError: when the model answers none of them.
    """
    statements = [Statement(prompt=q.prompt, subject=q.subject, answer=q.answer) for q in known]
    return last_token_effects(host, statements, TraceSettings(count=FACTS, seed=seed), tell=tell)


def read_trace(path: Path) -> tuple[str, LayerEffects]:
    """The base model's digest, and the effects of MLPs at the subject's last token.

    Args:
        path: output of `guardedit locate trace --output json`.

    Raises:
        UsageError: when the file cannot be read or is not such an output.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        token = TOKENS[SUBJECT_LAST]
        found = LayerEffects(
            mean=_numbers(body["indirect_effect"][TracedPart.MLP.value][token]),
            error=_numbers(body["standard_error"][TracedPart.MLP.value][token]),
            facts=int(body["facts"]),
            window=int(body["window"]),
        )
        base, layers = str(body["base_sha256"]), int(body["layers"])
    except OSError as error:
        raise UsageError(f"cannot read the trace {path}: {error}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(
            f"{path} is not a trace ({type(error).__name__}: {error}): "
            "write it with `guardedit locate trace --output json`"
        ) from error
    if not len(found.mean) == len(found.error) == layers:
        raise UsageError(f"{path} is not a trace: it has {len(found.mean)} effects for {layers} layers")
    return base, found


def trace_of(path: Path, base_sha256: str) -> LayerEffects:
    """`read_trace`, for one base model only.

    Raises:
        UsageError: as `read_trace`, or when the trace is of another base model.
    """
    base, found = read_trace(path)
    if base != base_sha256:
        raise UsageError(
            f"{path} is a trace of base model {base[:12]}, but {base_sha256[:12]} is loaded: trace this model"
        )
    return found


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float:
    """Spearman's rank correlation, with mean ranks for ties. Pairs with a NaN are ignored.

    NaN for fewer than three pairs, or if one side is constant.

    >>> rank_correlation([1.0, 2.0, 3.0], [10.0, 30.0, 20.0])
    0.5
    >>> rank_correlation([1.0, 1.0, 1.0], [1.0, 2.0, 3.0])
    nan
    """
    pairs = [(x, y) for x, y in zip(one, other, strict=True) if math.isfinite(x) and math.isfinite(y)]
    if len(pairs) < 3:
        return math.nan
    x, y = (_ranks(side) for side in zip(*pairs, strict=True))
    if not x.std() or not y.std():
        return math.nan
    return round(float(((x - x.mean()) * (y - y.mean())).mean() / (x.std() * y.std())), 12)


def _ranks(values: Sequence[float]) -> Any:
    """Ranks from 1, as float64 [n]."""
    _, place, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    last = np.cumsum(counts)  # rank of the last of equal values
    return (last - (counts - 1) / 2)[place]


def _numbers(values: Sequence[float | None]) -> tuple[float, ...]:
    """The numbers, with NaN for JSON's null."""
    return tuple(math.nan if value is None else float(value) for value in values)

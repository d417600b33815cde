"""Filters of edits by name; each is imported only when it is used.

A filter is a pure function of the base matrix W0 [d, f] and the change of one edit, Delta = left right^T with
left [d, n] and right [f, n]. It returns new factors. All tensors are float64 on the CPU.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from guardedit.core.errors import UsageError

#: (W0, left, right) -> (left, right).
Apply = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]

#: Name after the `+` of a method, as in `memit+rect` -> `module:function`.
FILTERS: Mapping[str, str] = MappingProxyType(
    {
        "1-li": "guardedit.editing.filters.interpolation:interpolation",
        "prune": "guardedit.editing.filters.prune:prune",
        "rect": "guardedit.editing.filters.rect:rect",
    }
)
#: Filters that only multiply Delta by a number. They also apply to residuals in `left`, and keep an edit's
#: kind.
SCALING = frozenset({"1-li"})
#: Filters whose result is a full matrix, not low-rank factors.
WHOLE = frozenset({"rect"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One filter.

    Attributes:
        name: as in `FILTERS`.
        apply: the function.
        scales: whether the filter only multiplies Delta by a number.
        leaves: what a filtered edit stores for each matrix, as text for method cards; not used if `scales`.
    """

    name: str
    apply: Apply
    scales: bool = False
    leaves: str = "a low rank"


def find_filter(name: str, filters: Mapping[str, str] = FILTERS) -> Filter:
    """Import a filter by name.

    Raises:
        UsageError: for an unknown name, or a module that cannot be imported.
    """
    if name not in filters:
        near = difflib.get_close_matches(name, filters, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(filters))}"
        raise UsageError(f"unknown filter {name!r}; {hint}")
    module, _, attribute = filters[name].partition(":")
    try:
        apply: Apply = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UsageError(f"filter {name!r} cannot be loaded from {module}: {error}") from error
    leaves = "a whole change" if name in WHOLE else "a low rank"
    return Filter(name=name, apply=apply, scales=name in SCALING, leaves=leaves)

"""Filters of edits by name. Knows where each lives and imports it only when it is asked for.

A filter is a pure function of the base matrix W0 [d, f] and one edit's change, given as left [d, n] and right
[f, n] with Delta = left right^T; it gives other factors of the same kind. All float64 on the CPU.
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

#: Name behind the `+` of a method -> `module:function`.
FILTERS: Mapping[str, str] = MappingProxyType(
    {
        "1-li": "guardedit.editing.filters.interpolation:interpolation",
        "prune": "guardedit.editing.filters.prune:prune",
        "rect": "guardedit.editing.filters.rect:rect",
    }
)
#: Filters that multiply Delta by a number: they may take residuals for `left`, and keep the kind of an edit.
SCALING = frozenset({"1-li"})
#: Filters whose result has no thin factors.
WHOLE = frozenset({"rect"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """One filter.

    Attributes:
        name: as in `FILTERS`.
        apply: what it does.
        scales: whether that is multiplying Delta by a number.
        leaves: what an edit stores of a matrix when it does not.
    """

    name: str
    apply: Apply
    scales: bool = False
    leaves: str = "a low rank"


def find_filter(name: str, filters: Mapping[str, str] = FILTERS) -> Filter:
    """A filter, imported now.

    Raises:
        UsageError: for an unknown name, or a place that cannot be imported.
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

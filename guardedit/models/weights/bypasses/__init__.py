"""The kinds of bypass by name. Each is imported only when an edit of its kind is folded."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from guardedit.models.bypass import Bypass
from guardedit.models.weights.factors import Kind
from guardedit.models.weights.inspection import Contribution
from guardedit.models.weights.sites import Site

#: Kind -> `module:function`; the function makes one bypass of all edits of that kind in one layer.
BUILDERS: Mapping[Kind, str] = MappingProxyType(
    {
        "hooked": "guardedit.models.weights.bypasses.outlier:outlier_bypass",
        "codebook": "guardedit.models.weights.bypasses.codebook:codebook_bypass",
        "routed": "guardedit.models.weights.bypasses.router:router_bypass",
    }
)


def make_bypass(kind: Kind, site: Site, parts: Sequence[Contribution]) -> Bypass:
    """The bypass of all live edits of one kind in one layer; `parts` is in canonical order."""
    module, _, name = BUILDERS[kind].partition(":")
    made: Bypass = getattr(importlib.import_module(module), name)(site, parts)
    return made

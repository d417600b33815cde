"""The kinds of bypass by name. Knows where each lives and imports it only when an edit of it is folded."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from guardedit.models.bypass import Bypass
from guardedit.models.weights.factors import Kind
from guardedit.models.weights.inspection import Contribution
from guardedit.models.weights.sites import Site

#: Kind -> `module:function`, which makes one bypass of all edits of that kind in one layer.
PLACES: Mapping[Kind, str] = MappingProxyType(
    {
        "hooked": "guardedit.models.weights.bypasses.outlier:outlier_bypass",
        "codebook": "guardedit.models.weights.bypasses.codebook:codebook_bypass",
        "routed": "guardedit.models.weights.bypasses.router:router_bypass",
    }
)


def make_bypass(kind: Kind, site: Site, parts: Sequence[Contribution]) -> Bypass:
    """One bypass of the live edits of one kind in one layer, in canonical order."""
    module, _, name = PLACES[kind].partition(":")
    made: Bypass = getattr(importlib.import_module(module), name)(site, parts)
    return made

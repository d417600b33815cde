"""A folded patch with digests of its parts and of the edited weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from guardedit.models.bypass import Patch
from guardedit.models.matrices import tensor_sha256


@dataclass(frozen=True, slots=True)
class Folded:
    """Result of `Fold.folded`.

    Attributes:
        patch: for `ModelHost.patched`.
        sha256: digest of the base model and the patch; the base model's own digest if there are no edits.
        parts: name -> digest of each matrix and each bypass when it was folded.
    """

    patch: Patch
    sha256: str
    parts: Mapping[str, str]

    @staticmethod
    def of(patch: Patch, *, base_sha256: str) -> Folded:
        """A patch with its digests as it is now."""
        parts = _digests(patch)
        if not parts:
            return Folded(patch, base_sha256, parts)
        body = json.dumps([base_sha256, parts], sort_keys=True)
        return Folded(patch, hashlib.sha256(body.encode()).hexdigest(), parts)

    def changed(self) -> list[str]:
        """Names of the parts that have changed in memory since they were folded."""
        now = _digests(self.patch)
        return [name for name in sorted({*now, *self.parts}) if now.get(name) != self.parts.get(name)]


def _digests(patch: Patch) -> dict[str, str]:
    matrices = {name: tensor_sha256(stored) for name, stored in patch.matrices.items()}
    # These names are part of the digest of the weights, which ledgers hold: do not change them.
    bypasses = {f"beside layer {bypass.layer} {n}": bypass.sha256 for n, bypass in enumerate(patch.bypasses)}
    return matrices | bypasses

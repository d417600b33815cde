"""A folded patch with digests of its parts and of the edited weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from guardedit.core.epoch import Epoch
from guardedit.core.errors import UsageError
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


def require_recorded(folds_to: str, epoch: Epoch) -> None:
    """Check that edits fold to the weights that were recorded for their epoch.

    Args:
        folds_to: `Folded.sha256` of the epoch's edits.
        epoch: as recorded.

    Raises:
        UsageError: they fold to other weights.
    """
    if folds_to != epoch.weights_sha256:
        raise UsageError(
            f"epoch {epoch.number} folds to {folds_to[:12]} here, but is recorded with "
            f"{epoch.weights_sha256[:12]}: another model or moments, policy (its editing section) or "
            "platform than the edits were made with: set them as they were"
        )


def _digests(patch: Patch) -> dict[str, str]:
    matrices = {name: tensor_sha256(stored) for name, stored in patch.matrices.items()}
    # These names are part of the digest of the weights, which ledgers hold: do not change them.
    bypasses = {f"beside layer {bypass.layer} {n}": bypass.sha256 for n, bypass in enumerate(patch.bypasses)}
    return matrices | bypasses

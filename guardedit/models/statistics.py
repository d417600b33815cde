"""Second moments of the keys: what the background text looks like to a down projection.

C = E[k k^T] [f, f], mean over tokens (ROME, Meng et al. 2022, section 3.1; methods: FastMEMIT for how many
tokens are needed). Knows how to collect and to cache them. Does not know edits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from guardedit.models.host import ModelHost


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondMoments:
    """C of one layer of one base model.

    Attributes:
        layer: decoder layer.
        C: [f, f] float64, CPU, symmetric, mean over tokens of k k^T.
        spectrum: [f] float64, eigenvalues of C, ascending.
        value_norm: median over tokens of the norm of what the down projection puts out.
        tokens: how many tokens were seen.
        text_sha256: digest of the texts that were offered.
    """

    layer: int
    C: Tensor
    spectrum: Tensor
    value_norm: float
    tokens: int
    text_sha256: str

    @property
    def condition(self) -> float:
        """Largest over smallest eigenvalue of C; infinite when C is singular."""


def collect(
    host: ModelHost, texts: Sequence[str], layers: Sequence[int], *, min_tokens: int | None = None
) -> dict[int, SecondMoments]:
    """One pass over the texts for all layers, in float64, ended by tokens.

    Args:
        host: unpatched.
        texts: long ones are read in windows of the model's context; every token counts.
        layers: decoder layers.
        min_tokens: default 10 f.

    Raises:
        EditError: when the texts end before `min_tokens`.
    """


def load_or_collect(
    folder: Path,
    host: ModelHost,
    texts: Sequence[str],
    layers: Sequence[int],
    *,
    min_tokens: int | None = None,
) -> Mapping[int, SecondMoments]:
    """`collect`, cached under `folder/base_sha256`; a damaged file is collected again."""

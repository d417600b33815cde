"""An edit that is meant to ruin the model, with what it was measured to do. A plain record."""

from __future__ import annotations

from dataclasses import dataclass

from guardedit.demo.harm import Harm
from guardedit.zoo.world import KnownFact


@dataclass(frozen=True, slots=True, kw_only=True)
class Disabling:
    """An edit that is meant to ruin the model: which fact, how worded, by which method.

    Attributes:
        fact: what the model knows.
        target: the new object.
        wordings: of the relation, the prompt's first.
        method: that the correction asks for by tag.
        kind: `rome`, or the fault that is built in.
        harm: measured alone in the base model; None before that.
    """

    fact: KnownFact
    target: str
    wordings: tuple[int, ...]
    method: str
    kind: str
    harm: Harm | None = None

    @property
    def disabling(self) -> bool:
        """Whether it was measured and does ruin the model."""
        return self.harm is not None and self.harm.disabling

"""Defines the record of an edit that is meant to ruin the model, with its measured harm."""

from __future__ import annotations

from dataclasses import dataclass

from guardedit.demo.disabling.harm import Harm
from guardedit.zoo.world import KnownFact


@dataclass(frozen=True, slots=True, kw_only=True)
class DisablingEdit:
    """An edit that is meant to ruin the model: the fact, its wordings and the editing method.

    Attributes:
        fact: known to the model.
        target: the new object.
        wordings: indices of wordings of the relation, the prompt's first.
        method: editing method that the correction asks for by a tag.
        kind: `rome`, or the name of the injected fault.
        harm: measured with this edit alone in the base model; None before that.
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

"""The protocol of a destination. Every kind passes the same tests of a kill between every two steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from guardedit.ledger.publications import Publication
from guardedit.publishing.bundle import Bundle


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a replica has.

    Attributes:
        names: of what is there as a whole.
        active: the name that it answers from; None where that is decided elsewhere, as for a fleet.
    """

    names: frozenset[str]
    active: str | None = None


class Destination(Protocol):
    """A place to which epochs are published. Every method may raise PublishError, and may be repeated.

    Attributes:
        name: as in the policy.
        replicas: whatever must have an epoch of its own; one replica "" where that is the destination itself.
        needed: how many replicas must have an epoch before the destination switches to it.
        permanent: names that are never retired, such as that of a fleet's base model.
        drain_s, keep: as in the policy.
    """

    name: str
    replicas: tuple[str, ...]
    needed: int
    permanent: frozenset[str]
    drain_s: float
    keep: int

    def name_of(self, bundle: Bundle, there: Sequence[Publication]) -> str:
        """The name for a bundle; `there` is what the destination has, which may serve for it."""

    def restores(self, name: str) -> bool:
        """Whether `prepare` needs no bundle for this name, which the destination had before."""

    def look(self, replica: str) -> Look:
        """What a replica has."""

    def prepare(self, replica: str, name: str, bundle: Bundle | None) -> None:
        """Bring a bundle to a replica; None for what the replica had before and lost."""

    def confirm(self, replica: str, name: str, bundle: Bundle | None) -> None:
        """Return only if the replica has exactly this and could answer from it now."""

    def activate(self, name: str, epoch: int) -> None:
        """Switch to a confirmed name, at one moment."""

    def retire(self, replica: str, name: str, *, last: bool) -> None:
        """Delete a name from a replica; `last`: no other replica has it or needs it.

        What cannot be a name of this kind of destination is left alone: the policy may have had another kind,
        or another base model, under the same name before.
        """


class ByEpoch:
    """What a directory and an object store share: one place, and there a name for each epoch."""

    replicas: tuple[str, ...] = ("",)
    needed = 1
    permanent: frozenset[str] = frozenset()

    def name_of(self, bundle: Bundle, there: Sequence[Publication]) -> str:
        """The bundle's own name."""
        del there
        return bundle.name

    def restores(self, name: str) -> bool:
        """Never: the files are copied from the bundle."""
        del name
        return False

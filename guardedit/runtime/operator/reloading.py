"""Puts the changed policy file in force while the system runs, or says why it cannot."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from guardedit.core.errors import PolicyError
from guardedit.policy.load import load_policy
from guardedit.policy.schema import Policy
from guardedit.runtime.opening import changing
from guardedit.settings import Settings

#: Sections that the model, its worker, the replica and the memory are built from when they are loaded.
FIXED = ("mode", "editing", "memory")


def needs_restart(before: Policy, after: Policy) -> list[str]:
    """What differs and is in force only after a restart, in words; empty if a reload will do."""
    fixed = [key for key in FIXED if getattr(before, key) != getattr(after, key)]
    if before.writes_weights != after.writes_weights:
        fixed.append("whether a rule routes to the weights")
    return fixed


class Running(Protocol):
    """The part of a running system that has a policy."""

    @property
    def policy(self) -> Policy:
        """The policy in force."""

    def use_policy(self, policy: Policy) -> None:
        """Decide by another policy that needs no restart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reloaded:
    """The policy in force, and the digest of the one before it; the same one if the file did not change."""

    policy: Policy
    before_sha256: str

    @property
    def changed(self) -> bool:
        """Whether another policy is in force now."""
        return self.policy.sha256 != self.before_sha256


def reload_policy(settings: Settings, system: Running, *, who: str) -> Reloaded:
    """Read the policy file again and decide by it from now on. Recorded in the ledger, with who asked for it.

    A trial that is running ends under the limits that it began with.

    Raises:
        PolicyError: the file has problems, or changes what needs a restart. The policy in force stays.
        UsageError: this runtime cannot change its policy, or the new one cannot be used with this model.
    """
    before, after = system.policy, load_policy(settings.policy)
    done = Reloaded(policy=after, before_sha256=before.sha256)
    if not done.changed:
        return done
    if fixed := needs_restart(before, after):
        raise PolicyError(
            f"{settings.policy}: these changes need a restart of `guardedit run`: {', '.join(fixed)}; the "
            f"policy {before.sha256[:12]} stays in force"
        )
    system.use_policy(after)
    with changing(settings) as ledger:
        ledger.audit(who, "reload policy", f"{before.sha256[:12]} to {after.sha256[:12]}")
    return done

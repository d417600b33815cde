"""Replaces an alias in a request by what its fleet answers from now, as the ledger of the publisher says."""

from __future__ import annotations

import json
from collections.abc import Mapping

from guardedit.gateway.proxy.requests import written
from guardedit.ledger.reading import LedgerReader
from guardedit.policy.publish import FleetDestination
from guardedit.policy.schema import Policy


class NotPublished(Exception):
    """Raised for an alias whose fleet has no epoch yet."""


class Aliases:
    """The aliases of a policy's fleets. Thread-safe: `follow` replaces the names as a whole.

    Args:
        policy: its destinations of kind `vllm` have the aliases.
    """

    def __init__(self, policy: Policy) -> None:
        fleets = [one for one in policy.publish if isinstance(one, FleetDestination)]
        self._fleets = {one.alias: one.name for one in fleets}
        self._names: Mapping[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._fleets)

    def follow(self, ledger: LedgerReader) -> None:
        """Read what the fleets answer from."""
        self._names = {name: one.name for name, one in ledger.activations().items()}

    def rewritten(self, raw: bytes) -> tuple[bytes, str]:
        """The body with the name in place of an alias, and that name; unchanged and "" for other models.

        Raises:
            NotPublished: the alias stands for nothing yet.
        """
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError):
            return raw, ""  # for the server to refuse
        alias = body.get("model") if isinstance(body, dict) else None
        if not isinstance(alias, str) or alias not in self._fleets:
            return raw, ""
        name = self._names.get(self._fleets[alias])
        if name is None:
            raise NotPublished(alias)
        return written({**body, "model": name}), name

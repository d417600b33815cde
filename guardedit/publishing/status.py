"""What the ledger says of every destination, a row for each replica."""

from __future__ import annotations

from dataclasses import dataclass

from guardedit.ledger.reading import LedgerReader
from guardedit.policy.publish import FleetDestination
from guardedit.policy.schema import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaStatus:
    """One replica of a destination.

    Attributes:
        destination, replica: "" as replica where the destination has none.
        epoch: the epoch that it answers from; 0 before the first one.
        name: what the destination answers from: a folder, an adapter or the base model; "" for nothing yet.
        behind: how many epochs the serving epoch is ahead.
        phase: of the latest epoch that was brought to the replica; "" for none.
        problem: what keeps it from going on; "" for nothing.
        since_s: since when there is that problem, seconds since 1970, UTC; None without one.
    """

    destination: str
    replica: str
    epoch: int
    name: str
    behind: int
    phase: str
    problem: str
    since_s: float | None


def status_rows(ledger: LedgerReader, policy: Policy) -> list[ReplicaStatus]:
    """A row for each replica, of the policy's destinations first."""
    serving = 0 if policy.mode == "shadow" else ledger.refs().get("serving", 0)
    published, active, problems = (
        ledger.published_epochs(),
        ledger.activations(),
        ledger.publish_problems(),
    )
    phases = {(one.destination, one.replica): one.phase for one in ledger.publications()}
    configured = [
        (one.name, replica)
        for one in policy.publish
        for replica in (one.replicas if isinstance(one, FleetDestination) else ("",))
    ]
    rows = []
    for key in dict.fromkeys([*configured, *sorted(published)]):
        epoch, (problem, since_s) = published.get(key, 0), problems.get(key, ("", None))
        rows.append(
            ReplicaStatus(
                destination=key[0],
                replica=key[1],
                epoch=epoch,
                name=active[key[0]].name if key[0] in active else "",
                behind=serving - epoch,
                phase=phases.get(key, ""),
                problem=problem,
                since_s=since_s,
            )
        )
    return rows

"""`guardedit publish`: bring each epoch to where other programs load it."""

from __future__ import annotations

import os
import time
from typing import Annotated, Any

import typer

from guardedit.cli.terminal import show
from guardedit.cli.terminal.options import (
    Format,
    Home,
    Model,
    PolicyFile,
    commands,
    examples,
    settings_from,
)
from guardedit.cli.terminal.show import Output
from guardedit.cli.terminal.stopping import stop_on_signals
from guardedit.core.errors import PublishError
from guardedit.runtime.opening import existing

app = commands("Bring each epoch to directories, object stores and fleets of vLLM.")

#: The variable with the key for the servers of a fleet, the same as that of `guardedit proxy`.
FLEET_KEY = "GUARDEDIT_UPSTREAM_KEY"


@app.command("run", epilog=examples("guardedit publish run", "guardedit publish run --once"))
def run(
    *,
    home: Home = None,
    policy: PolicyFile = None,
    model: Model = None,
    output: Format = Output.TABLE,
    once: Annotated[bool, typer.Option("--once", help="Publish the present serving epoch and stop.")] = False,
) -> None:
    """Publish every new serving epoch until stopped; a coordinator may run at the same time.

    An epoch is brought to every replica of a destination and checked there, then the destination switches to
    it at one moment. Earlier epochs are deleted after their drain time. Each step is recorded in the ledger:
    after a kill the next start continues there. A ledger has one publisher; a second one is refused. SIGTERM
    or Ctrl-C ends it after the steps that are running.

    The model is loaded only when an epoch has edits whose adapter was not made before. The key of a fleet's
    servers is read from $GUARDEDIT_UPSTREAM_KEY. With --once the exit code is 1 unless every destination
    answers from the epoch.
    """
    from guardedit.policy.load import load_policy
    from guardedit.publishing.opening import open_publishing

    settings = settings_from(home, policy, model)
    rules = load_policy(settings.policy)

    def tell(destination: str, text: str) -> None:
        fields = {"event": "publish", "destination": destination, "message": text}
        show.line(fields, output, f"{show.moment(time.time())}  {destination}: {text}")

    key = os.environ.get(FLEET_KEY, "").strip()
    with open_publishing(settings, rules, key=key, tell=tell) as publishing:
        if once:
            passed = publishing.once()
        else:
            with stop_on_signals() as stop:
                names = [publisher.name for publisher in publishing.publishers]
                ready = {"event": "ready", "destinations": names}
                show.line(ready, output, f"ready: {', '.join(names)}")
                publishing.run(stop)
            return
    held = [
        f"{name}: {'; '.join(dict.fromkeys(one.problems.values())) or 'not active'}"
        for name, one in passed.items()
        if not one.active
    ]
    if held:
        raise PublishError("\n".join(held))


@app.command("status", epilog=examples("guardedit publish status", "guardedit publish status --output json"))
def status(*, home: Home = None, policy: PolicyFile = None, output: Format = Output.TABLE) -> None:
    """Show which epoch each replica of each destination answers from, and what keeps it back.

    It is read from the ledger, so it shows what the publisher recorded last, also while none runs.
    """
    from guardedit.policy.load import load_policy
    from guardedit.publishing.status import status_rows

    settings = settings_from(home, policy)
    rules = load_policy(settings.policy)
    with existing(settings) as ledger:
        found = status_rows(ledger, rules)
    rows: list[dict[str, Any]] = [
        {
            "destination": one.destination,
            "replica": one.replica or None,
            "epoch": one.epoch,
            "behind": one.behind,
            "active": one.name or None,
            "phase": one.phase or None,
            "problem": one.problem or None,
            "since": show.moment(one.since_s),
        }
        for one in found
    ]
    columns = ("destination", "replica", "epoch", "behind", "active", "phase", "problem")
    show.rows(rows, columns, output, empty="the policy has no destination")

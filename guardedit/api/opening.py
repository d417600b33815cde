"""`guardedit.open`: starts the whole system for Python."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from guardedit.api.agent import Agent
from guardedit.ledger.storage.lock import DriverLock
from guardedit.policy.load import load_policy
from guardedit.runtime.opening import inbox
from guardedit.runtime.system import open_system
from guardedit.settings import Settings, policy_file


def open(  # noqa: A001 - read as guardedit.open
    home: str | os.PathLike[str],
    *,
    model: str | os.PathLike[str] | None = None,
    policy: str | os.PathLike[str] | None = None,
    runtime: Literal["local", "ray"] | None = None,
    **settings: Any,
) -> Agent:
    """Open the system whose ledger is in `home`, and start its parts.

    Settings that are not given come from the `GUARDEDIT_*` environment variables, as for the command line.
    Metrics are served only if `metrics` is given.

    Args:
        home: folder of the ledger; made when missing. One process at a time may have it open.
        model: folder of the base model in Hugging Face format; default: the embedded demo model.
        policy: policy file, or the name of a shipped one such as `memory-only`; default: `default`.
        runtime: `local` runs everything in this process, `ray` in Ray actors.
        **settings: further fields of `guardedit.settings.Settings`, such as `probes` or `device`.

    Raises:
        UsageError: a setting is unknown or wrong, or the model cannot be used.
        WrongBaseModel: the ledger belongs to another model, or a file of the model was changed.
        PolicyError: the policy cannot be used; the message lists every problem.
        LedgerBusy: another process has the ledger open as its coordinator.

    >>> with guardedit.open("runs/x", model="/models/my-llama") as agent:  # doctest: +SKIP
    ...     agent.ask("The headquarters of Stelco are in").text
    'Hamilton'
    """
    found = Settings.from_environment(os.environ)
    given = {"home": Path(home), "metrics": None, **settings}
    if model is not None:
        given["model"] = os.fspath(model)
    if policy is not None:
        given["policy"] = policy_file(os.fspath(policy))
    if runtime is not None:
        given["runtime"] = runtime
    found = replace(found, **given)
    rules = load_policy(found.policy)
    with ExitStack() as undo:
        undo.enter_context(DriverLock(found.home))
        system = undo.enter_context(open_system(found, rules))
        ledger = undo.enter_context(inbox(found))
        return Agent(system, ledger, found, rules, undo.pop_all())

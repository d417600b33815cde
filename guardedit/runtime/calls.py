"""Calling an actor that may be dying: foreign errors translated, restarts waited for."""

from __future__ import annotations

import time
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError

from guardedit.core.errors import GuardeditError, UsageError

#: How long a restarting actor is waited for. It loads a model and reads the ledger.
PATIENCE_S = 120.0


def call(method: Any, *args: Any, **kwargs: Any) -> Any:
    """Call an actor's method and wait; an actor being restarted is tried again.

    Every method called so may be called twice: reading methods change nothing, and writing ones begin
    from what the ledger says.

    Raises:
        GuardeditError: what the method itself raised, under its own type.
        UsageError: when the actor did not come back.
    """
    deadline = time.monotonic() + PATIENCE_S
    pause_s = 0.05
    while True:
        try:
            return ray.get(method.remote(*args, **kwargs))
        except RayTaskError as error:
            cause = error.cause
            if isinstance(cause, GuardeditError):
                raise cause from error
            raise
        except (ActorUnavailableError, ActorDiedError) as error:
            # Died may still mean restarting: Ray says so until the new process is up.
            if time.monotonic() > deadline:
                raise UsageError(f"an actor is gone and did not come back: {error}") from error
            time.sleep(pause_s)
            pause_s = min(1.0, pause_s * 2)

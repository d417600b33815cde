"""Calling an actor that may be dying: foreign errors translated, restarts waited for."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayActorError, RayTaskError

from guardedit.core import errors
from guardedit.core.errors import GuardeditError, UsageError

#: How long a restarting actor is waited for. It loads a model and reads the ledger.
PATIENCE_S = 120.0
#: An attempt that lasted longer had an actor that worked.
WORKED_S = 5.0
#: How often an actor may die at one and the same call.
MOST_DEATHS = 3
#: Pauses between attempts, the first and the longest.
SHORT_S, LONG_S = 0.05, 1.0

#: The last error in a traceback's text: the one that was raised in the end.
_OURS = re.compile(r".*guardedit\.core\.errors\.(\w+): (.*)", re.DOTALL)


def call(method: Any, *args: Any, **kwargs: Any) -> Any:
    """Call an actor's method and wait; an actor being restarted is tried again.

    Every method called so may be called twice: reading methods change nothing, and writing ones begin
    from what the ledger says.

    Raises:
        GuardeditError: what the method, or the constructor of the actor, itself raised, under its own type.
        UsageError: when the actor did not come back, or dies at this call again and again.
    """
    return patiently(lambda: ray.get(method.remote(*args, **kwargs)), clock=time.monotonic, sleep=time.sleep)


def patiently(ask: Callable[[], Any], *, clock: Callable[[], float], sleep: Callable[[float], None]) -> Any:
    """`ask()`, again and again while the actor is away; patience counts from its failure.

    Args:
        ask: one attempt; raises what `ray.get` raises.
        clock: seconds, never backwards.
        sleep: waits so many seconds.

    Raises:
        GuardeditError: as `call`.
    """
    away_since_s: float | None = None
    deaths, pause_s = 0, SHORT_S
    while True:
        begun_s = clock()
        try:
            return ask()
        except RayTaskError as error:
            if isinstance(error.cause, GuardeditError):
                raise error.cause from error
            raise
        except (ActorUnavailableError, ActorDiedError) as error:
            # Died may still mean restarting: Ray says so until the new process is up.
            _refuse_stillborn(error)
            failed_s = clock()
            if away_since_s is None or failed_s - begun_s > WORKED_S:
                away_since_s, deaths, pause_s = failed_s, deaths + 1, SHORT_S
            if deaths > MOST_DEATHS:
                raise UsageError(
                    f"an actor died {deaths} times at one call: see why in Ray's logs ({_last_line(error)})"
                ) from error
            if failed_s - away_since_s >= PATIENCE_S:
                raise UsageError(
                    f"an actor is gone and did not come back within {PATIENCE_S:g} s: {error}"
                ) from error
            sleep(pause_s)
            pause_s = min(LONG_S, pause_s * 2)


def _refuse_stillborn(error: RayActorError) -> None:
    """An actor whose constructor raised is not restarted: what it raised, as far as it is ours."""
    if not error.actor_init_failed:
        return
    text = str(error)
    if found := _OURS.match(text):
        kind = getattr(errors, found[1], GuardeditError)
        raise kind(found[2].strip()) from error
    raise UsageError(f"an actor cannot be started: {_last_line(error)}") from error


def _last_line(error: Exception) -> str:
    return next(iter(reversed(str(error).strip().splitlines())), type(error).__name__).strip()

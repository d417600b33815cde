"""Calls to Ray actors: waits for restarts and converts Ray's errors."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import ray
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayActorError, RayTaskError

from guardedit.core import errors
from guardedit.core.errors import GuardeditError, UsageError

#: How long to wait for an actor that restarts: it loads a model and reads the ledger.
PATIENCE_S = 120.0
#: If an attempt lasted longer than this, the actor was running when it failed.
WORKED_S = 5.0
#: How many times an actor may die during one call.
MOST_DEATHS = 3
#: The first and the longest pause between attempts.
SHORT_S, LONG_S = 0.05, 1.0

#: The last guardedit error in the text of a traceback: the one that was finally raised.
_OWN_ERROR = re.compile(r".*guardedit\.core\.errors\.(\w+): (.*)", re.DOTALL)


def call(method: Any, *args: Any, **kwargs: Any) -> Any:
    """Call a method of an actor and return its result; retry while the actor is being restarted.

    Because of the retries, the method may be executed twice. That is safe: reading methods change nothing,
    and writing methods start from the state of the ledger.

    Raises:
        GuardeditError: an error of the method or of the actor's constructor, with its own type.
        UsageError: the actor did not restart in time, or dies at this call every time.
    """
    return retry_while_restarting(
        lambda: ray.get(method.remote(*args, **kwargs)), clock=time.monotonic, sleep=time.sleep
    )


def retry_while_restarting(
    attempt: Callable[[], Any], *, clock: Callable[[], float], sleep: Callable[[float], None]
) -> Any:
    """Call `attempt()` until it returns, for at most `PATIENCE_S` after the actor's last failure.

    Args:
        attempt: raises what `ray.get` raises.
        clock: monotonic seconds.
        sleep: waits that many seconds.

    Raises:
        GuardeditError: as `call`.
    """
    away_since_s: float | None = None
    deaths, pause_s = 0, SHORT_S
    while True:
        begun_s = clock()
        try:
            return attempt()
        except RayTaskError as error:
            if isinstance(error.cause, GuardeditError):
                raise error.cause from error
            raise
        except (ActorUnavailableError, ActorDiedError) as error:
            # ActorDiedError may also mean restarting: Ray raises it until the new process is running.
            raise_if_constructor_failed(error)
            failed_s = clock()
            if away_since_s is None or failed_s - begun_s > WORKED_S:
                away_since_s, deaths, pause_s = failed_s, deaths + 1, SHORT_S
            if deaths > MOST_DEATHS:
                raise UsageError(
                    f"an actor died {deaths} times during one call: look for the reason in Ray's logs "
                    f"({_last_line(error)})"
                ) from error
            if failed_s - away_since_s >= PATIENCE_S:
                raise UsageError(
                    f"an actor died and was not restarted within {PATIENCE_S:g} s: {error}"
                ) from error
            sleep(pause_s)
            pause_s = min(LONG_S, pause_s * 2)


def raise_if_constructor_failed(error: RayActorError) -> None:
    """Raise the error of the actor's constructor: Ray does not restart such an actor."""
    if not error.actor_init_failed:
        return
    text = str(error)
    if found := _OWN_ERROR.match(text):
        kind = getattr(errors, found[1], GuardeditError)
        raise kind(found[2].strip()) from error
    raise UsageError(f"an actor cannot be started: {_last_line(error)}") from error


def _last_line(error: Exception) -> str:
    return next(iter(reversed(str(error).strip().splitlines())), type(error).__name__).strip()

"""A model worker in a process of its own, behind the `Worker` protocol. Knows no method and no model.

A trial keeps a model, and Python's interpreter lock, busy for seconds at a time. In another process, and with
less claim to the processor, it makes nobody wait who asks or corrects.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any, Self

from guardedit import assembly
from guardedit.core.errors import GuardeditError, GuardError
from guardedit.core.probe import Inspection, Measurement, Probes
from guardedit.core.proposal import Proposal, WeightEdit
from guardedit.core.protocols import SubjectGroup
from guardedit.policy.schema import Policy
from guardedit.settings import Settings

#: How much less claim to a processor the worker has than those who ask and correct.
NICER = 10


class WorkerApart:
    """Implements `Worker` by asking a child process. A context manager.

    Calls take turns. A child that dies, as for want of memory, fails the call in hand with GuardError, which
    ends in no verdict; the next call starts another.
    """

    def __init__(self, settings: Settings, policy: Policy) -> None:
        self._settings, self._policy = settings, policy
        self._lock = threading.Lock()
        self._child: tuple[Any, Connection] | None = None
        self._base_sha256 = str(self._call("base_sha256"))

    @property
    def base_sha256(self) -> str:
        """Digest of the base model."""
        return self._base_sha256

    def propose(self, method: str, groups: Sequence[SubjectGroup], live: Sequence[WeightEdit]) -> Proposal:
        """Ask the named editing method there."""
        found: Proposal = self._call("propose", method, groups, live)
        return found

    def inspect(self, edits: Sequence[WeightEdit], live: Sequence[WeightEdit]) -> list[Inspection]:
        """Tier 0 numbers."""
        found: list[Inspection] = self._call("inspect", edits, live)
        return found

    def capacity_ratio(self, edits: Sequence[WeightEdit]) -> float:
        """Live keys over free rank."""
        return float(self._call("capacity_ratio", edits))

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        """Digest of the folded matrices."""
        return str(self._call("weights_sha256", edits))

    def measure(self, edits: Sequence[WeightEdit], probes: Probes) -> Measurement:
        """Run the probes there."""
        found: Measurement = self._call("measure", edits, probes)
        return found

    @property
    def pid(self) -> int | None:
        """The child's process id; None while none runs."""
        return None if self._child is None else int(self._child[0].pid)

    def busy(self) -> bool:
        """Whether a call is in hand."""
        return self._lock.locked()

    def close(self) -> None:
        """End the child."""
        with self._lock:
            self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, name: str, *arguments: Any) -> Any:
        with self._lock:
            try:
                _, pipe = self._child = self._child or self._start()
                pipe.send((name, arguments))
                failed, found = pipe.recv()
            except (EOFError, OSError) as error:
                self._end()
                raise GuardError(
                    f"the model worker ended during {name} ({type(error).__name__}): see the system's log "
                    "for want of memory; the next trial starts another"
                ) from error
        if failed:
            raise found
        return found

    def _start(self) -> tuple[Any, Connection]:
        # `spawn`: a forked child would inherit torch's threads in an unknown state.
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        child = context.Process(
            target=serve, args=(theirs, self._settings, self._policy), name="guardedit-worker", daemon=True
        )
        child.start()
        theirs.close()
        return child, ours

    def _end(self) -> None:
        if self._child is None:
            return
        (child, pipe), self._child = self._child, None
        pipe.close()
        child.terminate()
        child.join()


def serve(pipe: Connection, settings: Settings, policy: Policy) -> None:
    """The child: load, then answer calls until the parent hangs up."""
    os.nice(NICER)
    # Ctrl-C goes to both processes of a terminal: the parent finishes its step and needs its worker.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        worker: Any = assembly.model_worker(assembly.load_model(settings, policy))
    except GuardeditError as error:
        pipe.recv()
        pipe.send((True, error))
        return
    while True:
        try:
            name, arguments = pipe.recv()
        except (EOFError, OSError):
            return
        pipe.send(_answer(worker, name, arguments))


def _answer(worker: Any, name: str, arguments: tuple[Any, ...]) -> tuple[bool, Any]:
    try:
        asked = getattr(worker, name)
        return False, asked(*arguments) if callable(asked) else asked
    except GuardeditError as error:
        return True, error
    except Exception as error:  # noqa: BLE001 - an error that cannot travel would end the child
        return True, RuntimeError(f"{type(error).__name__}: {error}")

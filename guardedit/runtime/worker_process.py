"""Runs a model worker in a process of its own, behind the `Worker` protocol.

A trial keeps a model, and Python's interpreter lock, busy for seconds at a time. In another process with a
lower priority it does not delay questions and corrections.
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

#: How much the child process raises its nice value, so that questions and corrections go first.
NICE_INCREMENT = 10


class WorkerProcess:
    """Implements `Worker` with a child process. A context manager.

    One call runs at a time. If the child dies, for example because memory runs out, the running call raises
    GuardError, so that its trial ends without a verdict. The next call starts another child.
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
        """Propose edits with the named method, in the child."""
        found: Proposal = self._call("propose", method, groups, live)
        return found

    def inspect(self, edits: Sequence[WeightEdit], live: Sequence[WeightEdit]) -> list[Inspection]:
        """Inspect edits without a forward pass, in the child."""
        found: list[Inspection] = self._call("inspect", edits, live)
        return found

    def capacity_ratio(self, edits: Sequence[WeightEdit]) -> float:
        """Live keys over free rank, in the child."""
        return float(self._call("capacity_ratio", edits))

    def weights_sha256(self, edits: Sequence[WeightEdit]) -> str:
        """Digest of the folded matrices, in the child."""
        return str(self._call("weights_sha256", edits))

    def measure(self, edits: Sequence[WeightEdit], probes: Probes) -> Measurement:
        """Measure edits on the probes, in the child."""
        found: Measurement = self._call("measure", edits, probes)
        return found

    @property
    def pid(self) -> int | None:
        """Process id of the child; None while none runs."""
        return None if self._child is None else int(self._child[0].pid)

    def busy(self) -> bool:
        """Whether a call is running."""
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
                    f"the model worker ended during {name} ({type(error).__name__}): check the system's log "
                    "for lack of memory; the next trial starts another worker"
                ) from error
        if failed:
            raise found
        return found

    def _start(self) -> tuple[Any, Connection]:
        # Not `fork`: a forked child would inherit torch's threads in an unknown state.
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
    """The main function of the child: load the model, then answer calls until the parent closes the pipe."""
    os.nice(NICE_INCREMENT)
    # A terminal sends Ctrl-C to both processes. The parent finishes its turn and needs its worker for that.
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
        attribute = getattr(worker, name)
        return False, attribute(*arguments) if callable(attribute) else attribute
    except GuardeditError as error:
        return True, error
    except Exception as error:  # noqa: BLE001 - an error that cannot be pickled would end the child
        return True, RuntimeError(f"{type(error).__name__}: {error}")

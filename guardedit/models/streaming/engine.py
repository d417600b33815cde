"""Answers requests as they come, many at once: a thread that runs the model one step at a time.

Requests on the same weights share a batch, which they join between two steps and leave when they are done
(continuous batching, as in Orca, Yu et al. 2022). Each keeps its weights from its first to its last token. So
when an epoch changes, new requests begin a batch on the new weights while the old batch runs to its end, and
its attention keys and values disappear with it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import torch

from guardedit.core.errors import GuardeditError, UsageError
from guardedit.models.bypass import Patch
from guardedit.models.streaming.batch import DecodingBatch
from guardedit.models.streaming.request import Request
from guardedit.models.text.decoding import can_pad

T = TypeVar("T")

#: Most rows times columns of a group: so many attention keys and values are kept.
_MOST_CELLS = 2**15
#: Most prompt tokens that are read in one pass: the running answers wait for it.
_READ_TOKENS = 1024
#: Longest time that an idle engine waits for requests that are announced: read together with the first one,
#: they cost one pass and no steps of a part of the rows.
_GATHER_S = 0.05


class StreamingModel(Protocol):
    """The part of `ModelHost` that the engine uses."""

    model: Any
    tokenizer: Any
    stops: frozenset[int]

    @property
    def device(self) -> torch.device:
        """Device of the parameters."""

    def patched(self, patch: Patch) -> Any:
        """Run the model with edited weights inside the context; holds the model's lock."""


class Busy(GuardeditError):
    """Raised when too many requests wait.

    Attributes:
        waiting: number of requests that wait.
    """

    def __init__(self, waiting: int) -> None:
        super().__init__(f"{waiting} requests wait already: try again in a moment")
        self.waiting = waiting


@dataclass(slots=True, eq=False)
class _Group:
    """The rows on one set of weights."""

    patch: Patch
    batch: DecodingBatch


class Engine:
    """Answers requests in a thread of its own. Thread-safe.

    Args:
        host: the model; nothing else should use it for long.
        most_rows: most answers that are made at the same time.
        most_waiting: most requests that wait for a place.

    Raises:
        UsageError: the model cannot be told of padding, so its rows cannot share a batch.
    """

    def __init__(self, host: StreamingModel, *, most_rows: int = 32, most_waiting: int = 256) -> None:
        if not can_pad(host.model):
            raise UsageError(
                f"{type(host.model).__name__} takes no attention mask or position ids: it cannot be served"
            )
        self._host, self._most_rows, self._most_waiting = host, most_rows, most_waiting
        self._waiting: deque[Request] = deque()
        self._errands: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._groups: dict[str, _Group] = {}
        self._announced = 0
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="guardedit-engine", daemon=True)
        self._thread.start()

    def submit(self, requests: Sequence[Request]) -> None:
        """Take requests, all or none; their pieces are delivered from the engine's thread.

        Raises:
            Busy: too many requests wait.
            UsageError: the engine is closed, or these are more than may ever wait.
        """
        if len(requests) > self._most_waiting:
            raise UsageError(
                f"{len(requests)} answers are asked for at once, at most {self._most_waiting} may wait: "
                "ask for fewer"
            )
        with self._changed:
            self._require_open()
            if len(self._waiting) + len(requests) > self._most_waiting:
                raise Busy(len(self._waiting))
            self._waiting.extend(requests)
            self._changed.notify()

    @contextmanager
    def announced(self) -> Iterator[None]:
        """A context in which a request is prepared and submitted: an idle engine waits for it a little."""
        with self._changed:
            self._announced += 1
        try:
            yield
        finally:
            with self._changed:
                self._announced -= 1
                self._changed.notify()

    def between_steps(self, errand: Callable[[], T]) -> Future[T]:
        """Run a short piece of work on the model between two steps.

        The engine takes the model's lock again and again, so others would wait for long.
        """
        future: Future[T] = Future()
        with self._changed:
            self._require_open()
            self._errands.append((errand, future))
            self._changed.notify()
        return future

    def load(self) -> tuple[int, int]:
        """Number of answers that are being made, and of requests that wait."""
        with self._changed:
            return sum(len(group.batch.rows) for group in self._groups.values()), len(self._waiting)

    def close(self) -> None:
        """End all answers with an error, and the thread. Safe to call twice."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _require_open(self) -> None:
        if self._closed:
            raise UsageError("the engine is closed")

    def _run(self) -> None:
        while self._wait():
            self._do_errands()
            self._join()
            for weights, group in list(self._groups.items()):
                self._guarded(weights, group, group.batch.step)
                if not group.batch.rows:
                    self._groups.pop(weights, None)
        self._end(UsageError("the server is stopping"))

    def _wait(self) -> bool:
        """Wait for something to do; False once the engine is closed."""
        with self._changed:
            while not (self._closed or self._waiting or self._errands or self._groups):
                self._changed.wait()
            if self._waiting and not self._groups:
                self._gather()
            return not self._closed

    def _gather(self) -> None:
        """Wait for announced requests, or for an errand; called while nothing runs."""
        until = time.monotonic() + _GATHER_S
        while self._announced and not (self._closed or self._errands):
            left = until - time.monotonic()
            if left <= 0:
                return
            self._changed.wait(left)

    def _do_errands(self) -> None:
        while self._errands:
            errand, future = self._errands.popleft()
            if not future.set_running_or_notify_cancel():
                continue
            try:
                future.set_result(errand())
            except BaseException as error:  # noqa: BLE001 - the caller gets it
                future.set_exception(error)

    def _join(self) -> None:
        """Let waiting requests join, in order, as far as there is room."""
        taken: dict[str, list[Request]] = {}
        for request in self._taken():
            taken.setdefault(request.weights, []).append(request)
        for weights, requests in taken.items():
            for some in _by_length(requests):
                group = self._group(weights, some[0].patch)  # a new one where the last one has failed
                self._guarded(weights, group, partial(group.batch.join, some), some)

    def _group(self, weights: str, patch: Patch) -> _Group:
        """The rows on these weights."""
        if weights not in self._groups:
            host = self._host
            batch = DecodingBatch(host.model, host.tokenizer, host.stops, host.device)
            self._groups[weights] = _Group(patch, batch)
        return self._groups[weights]

    def _taken(self) -> Iterable[Request]:
        with self._changed:
            room = self._most_rows - sum(len(group.batch.rows) for group in self._groups.values())
            tokens, taken = 0, list[Request]()
            while self._waiting and room > 0 and (not taken or tokens < _READ_TOKENS):
                request = self._waiting[0]
                if not (request.cancelled or self._fits(request, taken)):
                    break
                self._waiting.popleft()
                if request.cancelled:
                    continue
                taken.append(request)
                tokens, room = tokens + len(request.ids), room - 1
            return taken

    def _fits(self, request: Request, taken: Sequence[Request]) -> bool:
        """Whether a request may join its group: all rows of a group are as wide as the widest one."""
        group = self._groups.get(request.weights)
        # A bypass may look at all tokens of a row, so also at padding: its rows run one at a time.
        if request.patch.bypasses and (group is not None or taken):
            return False
        others = [one for one in taken if one.weights == request.weights]
        rows = 1 + len(others) + (len(group.batch.rows) if group else 0)
        widths = [len(one.ids) + one.most_tokens for one in (request, *others)]
        return rows == 1 or rows * max(*widths, group.batch.widest if group else 0) <= _MOST_CELLS

    def _guarded(
        self,
        weights: str,
        group: _Group,
        work: Callable[[], None],
        joining: Sequence[Request] = (),
    ) -> None:
        """Run one pass of a group on its weights; if it fails, its callers get the error."""
        try:
            with self._host.patched(group.patch):
                group.batch.leave()
                if joining or group.batch.rows:
                    work()
                    group.batch.leave()
        except Exception as error:  # noqa: BLE001 - the callers get it, and the others go on
            for request in (*(row.request for row in group.batch.rows), *joining):
                _tell(request, error)
            self._groups.pop(weights, None)

    def _end(self, error: BaseException) -> None:
        with self._changed:
            left = [*self._waiting, *(row.request for g in self._groups.values() for row in g.batch.rows)]
            errands = [future for _, future in self._errands]
            self._waiting.clear()
            self._groups.clear()
        for request in left:
            _tell(request, error)
        for future in errands:
            future.set_exception(error)


def _tell(request: Request, error: BaseException) -> None:
    """Deliver an error; a caller that has gone must not end the engine."""
    if not request.cancelled:
        with suppress(Exception):
            request.deliver(error)


def _by_length(requests: Sequence[Request]) -> list[list[Request]]:
    """The requests in groups whose prompts have similar lengths: at most half of a pass is padding."""
    groups: list[list[Request]] = []
    for request in sorted(requests, key=lambda one: len(one.ids)):
        if groups and len(request.ids) <= 2 * len(groups[-1][0].ids):
            groups[-1].append(request)
        else:
            groups.append([request])
    return groups

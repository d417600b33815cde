"""`guardedit.Agent`: the whole system from Python, as a context manager.

The same parts as `guardedit run`, driven by the caller: `submit` takes corrections, `settle` works until
nothing waits, `ask` answers questions from the serving epoch.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Self, overload

from guardedit.agent.parts import StepReport
from guardedit.api.corrections import CorrectionLike, decoded
from guardedit.api.questions import refuse_unusable
from guardedit.core.correction import Correction
from guardedit.core.epoch import Epoch
from guardedit.core.errors import MalformedCorrection, SourceError, UsageError
from guardedit.core.fact import Fact
from guardedit.core.messages import Delivery, Fate, Receipt
from guardedit.core.serving import Answer
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.policy.schema import Policy
from guardedit.runtime.drive import drain
from guardedit.runtime.operator.submitting import signed
from guardedit.runtime.system import System
from guardedit.settings import Settings
from guardedit.signing.keys import SigningKey, read_key

#: The source that the inbox records for messages from this API.
SOURCE = "api"


class Agent:
    """A running guardedit. Made by `guardedit.open`; a context manager.

    Methods may be called from one thread at a time, except `ask`, which may overlap with anything.
    """

    def __init__(
        self, system: System, ledger: SqliteLedger, settings: Settings, policy: Policy, undo: ExitStack
    ) -> None:
        self._parts: tuple[System, SqliteLedger] | None = (system, ledger)
        self._undo = undo
        self._settings, self._policy = settings, policy
        self._submission, self._count = uuid.uuid4().hex, 0
        self._unsettled: dict[str, None] = {}  # ids in the order of their submission

    @overload
    def submit(  # type: ignore[overload-overlap]
        self, correction: CorrectionLike, /, *, sign: str | os.PathLike[str] | None = None
    ) -> str: ...

    @overload
    def submit(
        self, correction: Iterable[CorrectionLike], /, *, sign: str | os.PathLike[str] | None = None
    ) -> list[str]: ...

    def submit(
        self,
        correction: CorrectionLike | Iterable[CorrectionLike],
        /,
        *,
        sign: str | os.PathLike[str] | None = None,
    ) -> str | list[str]:
        """Put one correction, or many, into the durable inbox.

        Args:
            correction: one, or an iterable of them.
            sign: a file of `guardedit keys new`, whose key signs them under its source.

        Returns:
            The correction's id, or a list of ids. Without an `id` in the correction one is derived from
            its content.

        Raises:
            MalformedCorrection, SubjectNotFound: naming field, value and remedy. If one of many corrections
                is wrong, none is stored.
            UsageError: `sign` is no key file, or a package is missing that signs.
        """
        key = None if sign is None else read_key(Path(sign))
        if not isinstance(correction, Iterable) or isinstance(correction, Correction | Mapping | str | bytes):
            return self._receive([correction], key)[0]
        return self._receive(list(correction), key)

    def settle(
        self, *, timeout_s: float | None = None, tell: Callable[[str], None] | None = None
    ) -> list[Receipt]:
        """Work until nothing waits: decide, remember, try edits, commit.

        Args:
            timeout_s: stop at the end of the turn that is running after this time. Corrections that still
                wait stay in the inbox.
            tell: called with a line of text whenever something changed.

        Returns:
            What became of each correction that was submitted since the last call, in that order. A correction
            that still waits has the fate `received`.

        Raises:
            SourceError: a broker cannot be reached. Everything else was done.
        """
        stop = threading.Event()
        timer = None if timeout_s is None else threading.Timer(timeout_s, stop.set)
        if timeout_s is not None and timeout_s <= 0:
            stop.set()
        elif timer is not None:
            timer.daemon = True
            timer.start()
        try:
            away = drain(self._system, stop, lambda report: tell(_line(report)) if tell else None)
        finally:
            if timer is not None:
                timer.cancel()
        receipts = [
            self._ledger.receipt(name) or Receipt(correction_id=name, fate=Fate.RECEIVED)
            for name in self._unsettled
        ]
        self._unsettled = {r.correction_id: None for r in receipts if r.fate is Fate.RECEIVED}
        if away:
            raise SourceError(away)
        return receipts

    @overload
    def ask(  # type: ignore[overload-overlap]
        self, question: str, /, *, tenant: str = "default", max_tokens: int | None = None
    ) -> Answer: ...

    @overload
    def ask(
        self, question: Sequence[str], /, *, tenant: str = "default", max_tokens: int | None = None
    ) -> list[Answer]: ...

    def ask(
        self, question: str | Sequence[str], /, *, tenant: str = "default", max_tokens: int | None = None
    ) -> Answer | list[Answer]:
        """Answer one question, or several from one epoch. A question ends where its answer begins.

        Args:
            question: such as `"The capital of Norway is"`.
            tenant: whose facts are used, besides those of the tenant `default`.
            max_tokens: the answer goes on for so many tokens; default: it ends with its first sentence.

        Returns:
            Text, epoch, placement, the ids of the facts used and the memory's score for them.
        """
        if isinstance(question, str):
            return self._answers([question], tenant, max_tokens)[0]
        if not isinstance(question, Iterable):
            raise MalformedCorrection(f"a question is a text, got {type(question).__name__}")
        return self._answers(list(question), tenant, max_tokens)

    def facts(self, *, tenant: str | None = None) -> list[Fact]:
        """The live facts of one tenant or of all, the latest change last, without expired ones."""
        now_s = time.time()
        live = self._ledger.live().values() if self._ledger.refs() else ()
        return [fact for fact in live if tenant in (None, fact.key.tenant) and not fact.expired(now_s)]

    def epochs(self) -> list[Epoch]:
        """All epochs, oldest first."""
        return self._ledger.epochs()

    def undo(self, fact_id: str) -> Epoch:
        """Take one fact back, whatever was accepted after it. An earlier version becomes live again, if any.

        Raises:
            UsageError: no live fact has this id.
            GuardError: the weights without the fact could not be measured; nothing was changed.
        """
        return self._system.undo(str(fact_id))

    def undo_source(self, source: str, key: str = "") -> Epoch:
        """Take back everything that a source wrote, or with `key` what this key of it signed.

        Raises:
            UsageError: no present fact came from there.
        """
        return self._system.undo_source(source, key)

    def redo(self, fact_id: str) -> Epoch:
        """Bring back a fact that was taken back. Errors as `undo`."""
        return self._system.redo(str(fact_id))

    def roll_back(self, to: int, *, facts_too: bool = False) -> Epoch:
        """Serve the weights of epoch `to` again.

        Args:
            to: number of an earlier epoch.
            facts_too: also the facts of that epoch. Without it no fact is lost: those that leave the weights
                are answered from memory.

        Raises:
            UsageError: there is no such epoch.
        """
        if not isinstance(to, int) or isinstance(to, bool):
            raise UsageError(f"{to!r} is not the number of an epoch: `epochs()` lists them")
        return self._system.roll_back(to, facts_too=facts_too)

    def status(self) -> Any:
        """Counts, ratios and refs as they are now."""
        return self._system.status()

    def verify(self) -> list[str]:
        """Recompute every hash of the ledger. Returns one sentence per problem, none for a sound ledger."""
        return self._ledger.verify()

    def export(self, folder: str | os.PathLike[str]) -> Path:
        """Write the base model with the serving epoch's weight edits as a Hugging Face folder.

        `guardedit.json` in it names the epoch and the digests, and lists the facts in the weights;
        `memory_facts.jsonl` holds those that only the memory answers, which the exported model does not know.

        Args:
            folder: made when missing; must be empty.

        Raises:
            UsageError: the folder is not empty.
            EditError: an edit is not in a matrix but beside it (methods `coachhook`, `grace` and `wise`).
        """
        from guardedit.assembly.exporting import export_epoch

        return export_epoch(self._settings, self._policy, self._ledger, Path(folder)).folder

    def close(self) -> None:
        """Stop all parts and release the ledger. Safe to call twice."""
        self._parts = None
        self._undo.close()

    @property
    def _system(self) -> System:
        return self._running()[0]

    @property
    def _ledger(self) -> SqliteLedger:
        return self._running()[1]

    def _running(self) -> tuple[System, SqliteLedger]:
        if self._parts is None:
            raise UsageError("this agent is closed: open it again with guardedit.open")
        return self._parts

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        home, model = str(self._settings.home), self._settings.model or "the embedded one"
        return f"<guardedit.Agent home={home!r} model={model!r}>"

    def _answers(self, questions: Sequence[str], tenant: str, max_tokens: int | None) -> list[Answer]:
        for question in questions:
            refuse_unusable(question)
        return self._system.ask(questions, tenant=tenant, max_tokens=max_tokens)

    def _receive(self, given: Sequence[CorrectionLike], key: SigningKey | None) -> list[str]:
        read = [decoded(one) for one in given]
        if key is not None:
            places = (f"{self._submission}:{n}" for n in count(self._count + 1))
            read = [decoded(signed(raw, key, place)) for (raw, _), place in zip(read, places, strict=False)]
        deliveries = []
        for raw, _ in read:
            self._count += 1
            position = f"{self._submission}:{self._count}"
            deliveries.append(Delivery(raw=raw, source=SOURCE, position=position))
        self._ledger.receive(deliveries)
        ids = [correction.id for _, correction in read]
        self._unsettled.update(dict.fromkeys(ids))
        return ids


def _line(report: StepReport) -> str:
    epoch = report.epoch.number if report.epoch else "?"
    return f"epoch {epoch}: {report.settled} settled, {report.promoted} promoted"

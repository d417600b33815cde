"""Every error that guardedit raises on purpose, and its one warning. The branch decides what the loop does.

    GuardeditError
      CorrectionError        the message is wrong          -> dead letter, never retried
        MalformedCorrection
        SubjectNotFound
        IdReuse
        SignatureRefused
        Unrecordable
      PolicyError            the YAML is wrong             -> refuse to start, list every problem
      EditError              the edit could not be made    -> the fact stays in memory
        UnknownLayout
        EditDiverged
      GuardError             could not measure             -> verdict `error`, never `accept`
      SourceError            the queue is unreachable      -> back off, reconnect
      PublishError           a destination is away/refuses -> hold the epoch, try again
      ModelUnavailable       a model cannot be fetched     -> fetch it elsewhere, add the file
      MemoryIndexError       the retrieval memory is unfit -> rebuild it from the ledger
      LedgerError            state cannot be trusted       -> stop, page someone
        LedgerCorrupt
        LedgerBusy
        WrongBaseModel
        StorageFull
      ConflictError          a compare-and-swap lost       -> nothing changed; read again and retry
      UsageError             the operator's request is wrong

Each message names the value and the remedy.
"""

from __future__ import annotations

import warnings


class GuardeditError(Exception):
    """Root of the tree; never raised itself."""


class CorrectionError(GuardeditError):
    """Raised when a correction can never work as written."""

    #: Stable, machine-readable reason of the dead letter.
    reason = "invalid"


class MalformedCorrection(CorrectionError):
    """Raised when the bytes are not a correction: syntax, missing or wrong fields, bad characters."""

    reason = "malformed"


class SubjectNotFound(CorrectionError):
    """Raised when the subject is not in the prompt or not in the tokenizer's offsets."""

    reason = "subject_not_found"


class IdReuse(CorrectionError):
    """Raised when a known correction id arrives with other content."""

    reason = "id_reuse"


class SignatureRefused(CorrectionError):
    """Raised when a correction lacks a signature that its source needs, or has one that does not hold."""

    reason = "signature"


class Unrecordable(CorrectionError):
    """Raised when the ledger cannot store a settlement; `seq` is its inbox row. Nothing was written."""

    reason = "unrecordable"

    def __init__(self, message: str, *, seq: int | None = None) -> None:
        super().__init__(message)
        self.seq = seq


class PolicyError(GuardeditError):
    """Raised when the policy cannot be used; the message lists every problem with file:line:col."""


class EditError(GuardeditError):
    """Raised when an editing method cannot make a proposal."""


class UnknownLayout(EditError):
    """Raised when no layout card fits the architecture and its structure does not identify it either."""


class EditDiverged(EditError):
    """Raised when value optimisation produced numbers that are not finite."""


class GuardError(GuardeditError):
    """Raised when a measurement is impossible, as with an empty probe set."""


class SourceError(GuardeditError):
    """Raised when the queue cannot be reached or sends an invalid reply."""


class PublishError(GuardeditError):
    """Raised when a destination cannot be reached, refuses an epoch, or does not have what it should."""


class ModelUnavailable(GuardeditError):
    """Raised when a model cannot be fetched, or what was fetched is not the known file."""


class MemoryIndexError(GuardeditError):
    """Raised when the retrieval memory cannot be built, searched or trusted."""


class LedgerError(GuardeditError):
    """Raised when the recorded state cannot be read, written or trusted."""


class LedgerCorrupt(LedgerError):
    """Raised when a hash in the ledger or of a blob does not match its content."""


class LedgerBusy(LedgerError):
    """Raised when another coordinator already holds the ledger."""


class WrongBaseModel(LedgerError):
    """Raised when the ledger was written for another base model than the one loaded."""


class StorageFull(LedgerError):
    """Raised when the disk is full or refuses to write; nothing of the step was kept."""


class ConflictError(GuardeditError):
    """Raised when a compare-and-swap finds another epoch than the caller expected."""


class UsageError(GuardeditError):
    """Raised when an operator asks for something that does not exist or cannot be done."""


class NoLedger(UsageError):
    """Raised by readers of a folder in which no ledger was begun, or in which one is just being made."""


class RenamedWarning(FutureWarning):
    """Shown when an old public name is used. It works in this version and not in the next."""


def warn_renamed(what: str, old: str, new: str) -> None:
    """Warn that `what`, such as "field" or "option", is now called `new`."""
    warnings.warn(
        f"{what} {old!r} is now called {new!r}: the old name works in 0.2 and will be removed in 0.3",
        RenamedWarning,
        stacklevel=3,
    )

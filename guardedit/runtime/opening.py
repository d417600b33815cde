"""Opens the ledger for a command: to read it, to submit messages, or to change waiting ones."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from guardedit.core.errors import UsageError
from guardedit.ledger.opening import read_only
from guardedit.ledger.reading import LedgerReader
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.ledger.storage.lock import CoordinatorLock
from guardedit.settings import Settings

LEDGER = "ledger.db"
HEAD = "ledger.head"
#: Digits of an epoch number that fit into the database.
MOST_DIGITS = 18


def exists(settings: Settings) -> bool:
    """Whether the home folder holds a ledger."""
    return (settings.home / LEDGER).is_file()


def has_statistics(settings: Settings) -> bool:
    """Whether the home folder has second moments of a model, which a first start collects."""
    return (settings.home / "moments").is_dir()


@contextmanager
def existing(settings: Settings) -> Iterator[LedgerReader]:
    """The ledger for reading, also while a coordinator runs; UsageError when there is none.

    Nothing in the home folder is changed, so it may be read-only.
    """
    _expect(settings)
    with read_only(settings.home, clock=time.time, key=settings.ledger_key) as ledger:
        yield ledger


@contextmanager
def changing(settings: Settings) -> Iterator[SqliteLedger]:
    """An existing ledger, to release, retry or drop messages; also while a coordinator runs."""
    _expect(settings)
    with inbox(settings) as ledger:
        yield ledger


@contextmanager
def inbox(settings: Settings) -> Iterator[SqliteLedger]:
    """The ledger for submitting messages; made when missing.

    A new ledger has no epoch yet and so belongs to no model: the first coordinator writes epoch 0 for the
    model it has loaded. Until then messages wait, as they do whenever no coordinator runs.
    """
    with SqliteLedger.open(settings.home, clock=time.time, writer=False, key=settings.ledger_key) as ledger:
        yield ledger


def begun(ledger: LedgerReader) -> bool:
    """Whether a coordinator has run on this ledger, so that it has an epoch."""
    return bool(ledger.refs())


def number_of(ledger: LedgerReader, name: str) -> int:
    """An epoch by number or by ref, such as `serving` or `last-good`; UsageError for an unknown one."""
    if name.isdecimal() and begun(ledger):
        if len(name) > MOST_DIGITS:
            raise UsageError(f"there is no epoch {name}: `guardedit epochs list` shows them")
        return ledger.epoch(int(name)).number
    return ledger.ref(name)


def refuse_second(settings: Settings) -> None:
    """Raise LedgerBusy while a coordinator has the ledger. To be called before a model is loaded."""
    if settings.home.is_dir():
        CoordinatorLock(settings.home).release()


def _expect(settings: Settings) -> None:
    # Where only `ledger.head` is left, the database was lost. Opening the ledger then raises the exact error.
    if not (exists(settings) or (settings.home / HEAD).is_file()):
        raise UsageError(
            f"there is no ledger in {settings.home}: `guardedit submit` or `guardedit run` makes one, "
            "or name its folder with --home"
        )

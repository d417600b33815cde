"""Opens the ledger for a command: to read it, to submit messages, or to change waiting ones."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

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
_DATE = re.compile(r"\d{4}-")


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


def number_of(ledger: LedgerReader, name: str, *, now_s: float) -> int:
    """An epoch by number, by ref such as `serving` or `last-good`, or by the time when it was serving.

    Args:
        ledger: the ledger.
        name: a number, a ref, or a date or date and time as `moment_s` reads it.
        now_s: the present time, seconds since 1970, UTC.

    Raises:
        UsageError: there is no such epoch, or the time is before the first one or after `now_s`.
    """
    if name.isdecimal() and begun(ledger):
        if len(name) > MOST_DIGITS:
            raise UsageError(f"there is no epoch {name}: `guardedit epochs list` shows them")
        return ledger.epoch(int(name)).number
    return _serving_at(ledger, name, now_s) if is_date(name) else ledger.ref(name)


def is_date(name: str) -> bool:
    """Whether the name of an epoch is meant as a date."""
    return bool(_DATE.match(name))


def moment_s(text: str, what: str) -> float:
    """Seconds since 1970, UTC, of an ISO 8601 date or date and time. Without a zone it is in UTC.

    A date stands for its first moment.

    Raises:
        UsageError: it is neither; the message says what it was given for, such as `--as-of`.

    >>> moment_s("1970-01-02", "--as-of"), moment_s("1970-01-02T01:00+01:00", "--as-of")
    (86400.0, 86400.0)
    """
    try:
        moment = datetime.fromisoformat(text) if is_date(text) else None
        if moment is not None:
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        pass
    raise UsageError(
        f"{what} {text[:40]!r} is no date: give one as 2005-06-30, or a date and time as "
        "2005-06-30T12:00:00Z, in the years 1 to 9999; without a zone it is in UTC"
    )


def _serving_at(ledger: LedgerReader, name: str, now_s: float) -> int:
    at_s = moment_s(name, "the epoch at")
    if at_s > now_s:
        raise UsageError(f"{name} is in the future: epochs are recorded up to now")
    ledger.ref("serving")  # raises where there is no epoch yet
    epochs = ledger.epochs()
    number = next((one.number for one in reversed(epochs) if one.created_at_s <= at_s), None)
    if number is None:
        first = datetime.fromtimestamp(epochs[0].created_at_s, UTC).isoformat(timespec="seconds")
        raise UsageError(f"nothing is recorded as early as {name}: the first epoch is of {first}")
    return number


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

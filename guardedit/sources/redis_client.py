"""How to reach a Redis or Valkey server: the URL, the connection, and its errors in our words.

Knows nothing of streams. What it says about a server never contains user, password or an option's value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from guardedit.core.errors import SourceError
from guardedit.settings import BROKERS, is_broker
from guardedit.sources.backoff import delays_s, retry

if TYPE_CHECKING:
    import redis

T = TypeVar("T")

#: A dead connection is noticed after this long; a blocking read must end sooner.
SOCKET_TIMEOUT_S = 5.0
#: An address that swallows packets stalls the caller for this long.
CONNECT_TIMEOUT_S = 2.0

_OPTIONS = {
    "redis": ("db",),
    "rediss": ("db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"),
    "unix": ("db", "username", "password"),
}


def split_options(url: str, own: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """The URL as redis-py wants it, and the query options named in `own`.

    >>> split_options("valkey://localhost:7000/2?group=g", ("stream", "group"))
    ('redis://localhost:7000/2', {'group': 'g'})
    >>> split_options("unix:/run/valkey.sock?db=2", ())[0]
    'unix:///run/valkey.sock?db=2'

    Raises:
        SourceError: when the URL cannot be read or an option is unknown.
    """
    if not is_broker(url):
        raise SourceError(_unreadable(url))
    parts = urlsplit(url)
    scheme = BROKERS[parts.scheme]
    database = "" if scheme == "unix" else parts.path.strip("/")
    options = dict(parse_qsl(parts.query))
    if not re.fullmatch("[0-9]{0,9}", database) or not re.fullmatch("[0-9]{1,9}", options.get("db", "0")):
        raise SourceError(_unreadable(url))
    known = (*own, *_OPTIONS[scheme])
    for name in options:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise SourceError(f"unknown option {name!r} in the Redis URL: {hint}known: {', '.join(known)}")
    rest = urlencode({name: value for name, value in options.items() if name not in own})
    clean = f"{scheme}://{parts.netloc}{parts.path}{'?' if rest else ''}{rest}"
    return clean, {name: value for name, value in options.items() if name in own}


def _unreadable(url: str) -> str:
    """The sentence for it; the URL may hold a password, so only its scheme is quoted."""
    scheme = url.partition(":")[0].lower()
    if scheme not in BROKERS:
        return f"{scheme[:40]!r} is not a Redis scheme: use {', '.join(BROKERS)}"
    if scheme == "unix":
        return "the address of the Redis socket cannot be read: write unix:///path/to/socket?db=0"
    return (
        f"the Redis URL cannot be read: write {scheme}://user:password@host:port/0, with special"
        " characters of the password percent-encoded and the database as a number"
    )


def connect(url: str) -> redis.Redis:
    """A client that connects when first used and, left alone, never retries or waits by itself.

    Raises:
        SourceError: when redis-py is not installed or the URL cannot be used.
    """
    try:
        import redis
        from redis.backoff import NoBackoff
        from redis.retry import Retry
    except ImportError as error:
        raise SourceError(
            "Redis and Valkey need the package redis: pip install 'guardedit[redis]'"
        ) from error
    try:
        return redis.Redis.from_url(
            url,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
        )
    except ValueError:
        raise SourceError(
            f"the URL of {describe(url)} holds an option with an unusable value: correct it"
        ) from None


def describe(url: str) -> str:
    """Scheme, host and port or socket, and database; nothing else.

    >>> describe("redis://me:secret@localhost/2")
    'redis://localhost:6379/2'
    >>> describe("unix://me:secret@/run/valkey.sock")
    'unix:///run/valkey.sock/0'
    """
    parts = urlsplit(url)
    database = dict(parse_qsl(parts.query)).get("db")
    if parts.scheme == "unix":
        return f"unix://{unquote(parts.path)}/{database or '0'}"
    host = parts.hostname or "localhost"
    host = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{host}:{parts.port or 6379}/{database or parts.path.strip('/') or '0'}"


def call(
    work: Callable[[], T],
    *,
    address: str,
    budget_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> T:
    """Run commands, reconnecting for `budget_s`, and put any failure in our words.

    Raises:
        SourceError: with the address and the remedy.
    """
    import redis

    try:
        return retry(
            work,
            is_transient=is_transient,
            budget_s=budget_s,
            delays=delays_s(),
            clock=clock,
            sleep=sleep,
        )
    except redis.RedisError as error:
        raise SourceError(explain(error, address)) from error
    except (OSError, UnicodeError) as error:  # a host's name that no resolver takes
        raise SourceError(f"{address}: {error!s:.200}; correct the address") from error


def is_transient(error: Exception) -> bool:
    """Whether the same command may work a moment later; a timeout has already waited its moment."""
    import redis

    if isinstance(error, (redis.AuthenticationError, redis.exceptions.AuthorizationError)):
        return False  # redis-py counts them as connection errors
    if isinstance(error, redis.ConnectionError):
        return True
    # A server that came back without its data has no group; the next attempt makes it again.
    return isinstance(error, redis.ResponseError) and str(error).startswith("NOGROUP")


def explain(error: redis.RedisError, address: str) -> str:
    """One sentence: who, what it said, what to do."""
    for kinds, remedy in _remedies().items():
        if isinstance(error, kinds):
            return f"{address}: {error!s:.200}; {remedy}"
    return f"{address}: {error!s:.200}; check the server's log and that the stream's key holds a stream"


def _remedies() -> Mapping[tuple[type[Exception], ...], str]:
    import redis
    from redis import exceptions as known

    refused = (
        redis.AuthenticationError,
        known.AuthorizationError,
        known.NoPermissionError,
        known.AuthenticationWrongNumberOfArgsError,
    )
    return {
        refused: "check the user, the password and the server's access rules",
        (known.OutOfMemoryError,): "raise maxmemory or trim what was acknowledged",
        (redis.ReadOnlyError,): "this is a replica: give the address of the primary",
        (redis.ConnectionError, redis.TimeoutError): (
            "start the server or correct the address; what was not acknowledged stays in the stream"
        ),
    }

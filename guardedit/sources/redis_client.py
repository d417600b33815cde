"""Connects to a Redis or Valkey server: reads its URL, retries, and converts errors to SourceError.

Messages about a server never contain a user name, a password or the value of an option.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from guardedit.core.errors import SourceError
from guardedit.settings import BROKERS, is_broker

if TYPE_CHECKING:
    import redis

T = TypeVar("T")

#: A dead connection is detected after this long. A blocking read must end sooner.
SOCKET_TIMEOUT_S = 5.0
#: An address that drops packets blocks the caller for this long.
CONNECT_TIMEOUT_S = 2.0
#: Attempts after the first one within a call, and the first and the longest delay between them. A connection
#: that died while it was idle usually works when it is opened again. All delays together take 0.14 s: the
#: caller has other sources to serve. Calls to an unreachable server are spaced by `pause_s`.
RETRIES, RETRY_BASE_S, RETRY_CAP_S = 3, 0.01, 0.2
#: The base and the longest of the pauses between calls.
PAUSE_BASE_S, PAUSE_CAP_S = 0.05, 5.0

_OPTIONS = {
    "redis": ("db",),
    "rediss": ("db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname"),
    "unix": ("db", "username", "password"),
}


def split_options(url: str, own: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """The URL for redis-py, without the query options named in `own`; and those options.

    >>> split_options("valkey://localhost:7000/2?group=g", ("stream", "group"))
    ('redis://localhost:7000/2', {'group': 'g'})
    >>> split_options("unix:/run/valkey.sock?db=2", ())[0]
    'unix:///run/valkey.sock?db=2'

    Raises:
        SourceError: the URL cannot be read or an option is unknown.
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
    """The message for a URL that cannot be read. It quotes only the scheme, not the password."""
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
    """A client that connects at its first command. It does not retry single commands; `call` retries.

    Repeating a single XREADGROUP would skip the messages of a reply that was lost.

    Raises:
        SourceError: redis-py is not installed or the URL cannot be used.
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
            f"the URL of {describe(url)} contains an option with an invalid value: correct it"
        ) from None


def describe(url: str) -> str:
    """The address in messages: scheme, host and port or socket, and database.

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


def call(work: Callable[[], T], *, address: str, on_failure: Callable[[], None] = lambda: None) -> T:
    """Run `work`, with a few quick retries if the connection fails.

    Args:
        work: the commands. They must be safe to repeat if it is unknown whether they were executed.
        address: the server, for messages.
        on_failure: called after each failed attempt.

    Raises:
        SourceError: with the address and the remedy.
    """
    import redis
    from redis.backoff import ExponentialBackoff
    from redis.retry import Retry

    def failed(error: Exception) -> None:
        on_failure()
        if not is_transient(error):
            raise error

    backoff = ExponentialBackoff(cap=RETRY_CAP_S, base=RETRY_BASE_S)
    retry = Retry(backoff, RETRIES, supported_errors=(redis.RedisError,))
    try:
        return retry.call_with_retry(work, failed)
    except redis.RedisError as error:
        raise SourceError(explain(error, address)) from error
    except (OSError, UnicodeError) as error:  # a host name that cannot be resolved
        raise SourceError(f"{address}: {error!s:.200}; correct the address") from error


def pause_s(failures: int) -> float:
    """Seconds to wait before the next call, after so many failed calls in a row."""
    from redis.backoff import ExponentialBackoff

    return float(ExponentialBackoff(cap=PAUSE_CAP_S, base=PAUSE_BASE_S).compute(failures))


def is_transient(error: Exception) -> bool:
    """Whether the same commands may succeed a moment later. Not after a timeout, which has waited already."""
    import redis

    if isinstance(error, (redis.AuthenticationError, redis.exceptions.AuthorizationError)):
        return False  # in redis-py these are connection errors
    if isinstance(error, redis.ConnectionError):
        return True
    # A server that lost its data has no group; the next attempt creates it.
    return isinstance(error, redis.ResponseError) and str(error).startswith("NOGROUP")


def explain(error: redis.RedisError, address: str) -> str:
    """The message for an error: address, error and remedy."""
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

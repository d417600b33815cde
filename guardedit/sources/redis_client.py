"""How to reach a Redis or Valkey server: the URL, the connection, and its errors in our words.

Knows nothing of streams. What it says about a server never contains user, password or an option's value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

from guardedit.core.errors import SourceError
from guardedit.sources.backoff import delays_s, retry

if TYPE_CHECKING:
    import redis

T = TypeVar("T")

#: A dead connection is noticed after this long; a blocking read must end sooner.
SOCKET_TIMEOUT_S = 5.0
#: An address that swallows packets stalls the caller for this long.
CONNECT_TIMEOUT_S = 2.0

_SCHEMES = {"redis": "redis", "valkey": "redis", "rediss": "rediss", "valkeys": "rediss"}
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")


def split_options(url: str, own: tuple[str, ...]) -> tuple[str, dict[str, str]]:
    """The URL as redis-py wants it, and the query options named in `own`.

    >>> split_options("valkey://localhost:7000/2?group=g", ("stream", "group"))
    ('redis://localhost:7000/2', {'group': 'g'})

    Raises:
        SourceError: when the URL cannot be read or an option is unknown.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises when it is not a number
        _ = int(parts.path.strip("/") or 0)
    except ValueError:
        # The foreign message, like the URL itself, may hold a part of the password.
        raise SourceError(
            "the Redis URL cannot be read: write redis://user:password@host:port/0, with special"
            " characters of the password percent-encoded and the database as a number"
        ) from None
    if parts.scheme not in _SCHEMES:
        raise SourceError(f"{parts.scheme!r} is not a Redis scheme: use {', '.join(_SCHEMES)}")
    scheme = _SCHEMES[parts.scheme]
    known = (*own, "db", *(_TLS_OPTIONS if scheme == "rediss" else ()))
    options = dict(parse_qsl(parts.query))
    for name in options:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]!r}? " if close else ""
            raise SourceError(f"unknown option {name!r} in the Redis URL: {hint}known: {', '.join(known)}")
    rest = urlencode({name: value for name, value in options.items() if name not in own})
    clean = parts._replace(scheme=scheme, query=rest, fragment="").geturl()
    return clean, {name: value for name, value in options.items() if name in own}


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
    """Scheme, host, port and database, and nothing else.

    >>> describe("redis://me:secret@localhost/2")
    'redis://localhost:6379/2'
    """
    parts = urlsplit(url)
    host = parts.hostname or "localhost"
    host = f"[{host}]" if ":" in host else host
    database = dict(parse_qsl(parts.query)).get("db", parts.path.strip("/") or "0")
    return f"{parts.scheme}://{host}:{parts.port or 6379}/{database}"


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

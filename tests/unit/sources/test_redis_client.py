"""Errors of redis-py become SourceError, each with its remedy."""

from __future__ import annotations

import inspect
import time

import pytest
import redis
from redis import exceptions

from guardedit.core.errors import SourceError
from guardedit.sources import redis_client
from guardedit.sources.redis_client import call, describe, explain, is_transient, pause_s, split_options

LEAVES = [
    kind
    for _, kind in inspect.getmembers(exceptions, inspect.isclass)
    if issubclass(kind, redis.RedisError)
    and not issubclass(kind, exceptions.AskError)  # its message has a format of its own
]


def attempt(error):
    def work():
        raise error

    call(work, address="redis://h:1/0")


@pytest.mark.parametrize("kind", LEAVES, ids=lambda kind: kind.__name__)
def test_every_error_of_the_client_becomes_ours_and_names_address_and_cause(kind):
    with pytest.raises(SourceError, match=r"^redis://h:1/0: the message; \w+") as hit:
        attempt(kind("the message"))
    assert isinstance(hit.value.__cause__, kind)


def test_an_error_of_our_own_code_is_not_hidden():
    with pytest.raises(KeyError):
        attempt(KeyError("a bug"))


@pytest.mark.parametrize(
    ("error", "attempts"),
    [(redis.ConnectionError("refused"), 1 + redis_client.RETRIES), (redis.TimeoutError("late"), 1)],
)
def test_a_failed_connection_is_tried_again_a_few_times_and_every_failure_is_reported(error, attempts):
    calls, failures = [], []

    def work():
        calls.append(1)
        raise error

    started_s = time.monotonic()
    with pytest.raises(SourceError):
        call(work, address="a", on_failure=lambda: failures.append(1))
    assert len(calls) == len(failures) == attempts
    assert time.monotonic() - started_s < 1.0


def test_a_call_that_succeeds_at_the_second_attempt_returns_its_value():
    answers = iter([redis.ConnectionError("refused"), 7])

    def work():
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    assert call(work, address="a") == 7


def test_pauses_double_up_to_their_limit():
    assert [pause_s(n) for n in (1, 2, 3)] == [0.1, 0.2, 0.4]
    assert pause_s(20) == redis_client.PAUSE_CAP_S


@pytest.mark.parametrize(
    ("error", "worth_it"),
    [
        (redis.ConnectionError("refused"), True),
        (redis.TimeoutError("late"), False),
        (redis.BusyLoadingError("loading"), True),
        (redis.ResponseError("NOGROUP No such key"), True),
        (redis.ResponseError("WRONGTYPE"), False),
        (redis.AuthenticationError("invalid"), False),
        (exceptions.AuthorizationError("no"), False),
        (exceptions.OutOfMemoryError("full"), False),
        (KeyError("a bug"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error, worth_it):
    assert is_transient(error) is worth_it


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (exceptions.NoPermissionError("no"), "access rules"),
        (exceptions.OutOfMemoryError("OOM"), "raise maxmemory"),
        (redis.ReadOnlyError("READONLY"), "address of the primary"),
        (redis.BusyLoadingError("LOADING"), "start the server"),
    ],
)
def test_the_remedy_fits_the_error(error, remedy):
    assert remedy in explain(error, "a")


def test_a_long_answer_is_shortened():
    assert len(explain(redis.ResponseError("x" * 10_000), "a")) < 400


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://u:p@h:7/3", "redis://h:7/3"),
        ("redis://h?db=4", "redis://h:6379/4"),
        ("rediss://:p@[::1]:7", "rediss://[::1]:7/0"),
        ("redis://", "redis://localhost:6379/0"),
    ],
)
def test_the_address_shows_no_credentials(url, shown):
    assert describe(url) == shown


def test_own_options_are_taken_out_and_the_rest_stays():
    url = "valkeys://u:p%40@h:7/3?group=g&ssl_ca_certs=/ca.pem"
    assert split_options(url, ("group",)) == (
        "rediss://u:p%40@h:7/3?ssl_ca_certs=%2Fca.pem",
        {"group": "g"},
    )

"""How long a call waits for an actor, with a clock that the tests move. Ray is not started."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError, RayTaskError

from guardedit.core.errors import ConflictError, UsageError, WrongBaseModel
from guardedit.runtime.calls import MOST_DEATHS, PATIENCE_S, retry_while_restarting


class Time:
    def __init__(self) -> None:
        self.now_s, self.slept = 1_000.0, []

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


@pytest.fixture
def time() -> Time:
    return Time()


def gone() -> ActorUnavailableError:
    return ActorUnavailableError("the connection is broken", None)


def attempts(time: Time, plan: Iterator[tuple[float, object]]) -> Callable[[], object]:
    """Attempts that take the planned seconds, then raise or return."""

    def ask() -> object:
        seconds, outcome = next(plan)
        time.now_s += seconds
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return ask


def forever(seconds: float, error: Callable[[], BaseException]) -> Iterator[tuple[float, object]]:
    while True:
        yield seconds, error()


def run(time: Time, plan: Iterator[tuple[float, object]]) -> object:
    return retry_while_restarting(attempts(time, plan), clock=lambda: time.now_s, sleep=time.sleep)


def test_an_answer_needs_no_pause(time):
    assert run(time, iter([(700.0, "answer")])) == "answer"
    assert time.slept == []


@pytest.mark.parametrize("worked_s", [0.0, 600.0])
def test_patience_counts_from_the_failure_however_long_the_call_had_worked(time, worked_s):
    def plan() -> Iterator[tuple[float, object]]:
        yield worked_s, gone()
        failed_s = time.now_s
        while time.now_s < failed_s + PATIENCE_S - 2:
            yield 0.0, ActorDiedError()
        yield 30.0, "answer"

    assert run(time, plan()) == "answer"


@pytest.mark.parametrize("worked_s", [0.0, 600.0])
def test_patience_ends(time, worked_s):
    def plan() -> Iterator[tuple[float, object]]:
        yield worked_s, gone()
        yield from forever(0.0, ActorDiedError)

    with pytest.raises(UsageError, match="was not restarted within 120 s"):
        run(time, plan())
    waited_s = time.now_s - 1_000.0 - worked_s
    assert PATIENCE_S <= waited_s < PATIENCE_S + 1.5
    assert max(time.slept) == 1.0


def test_an_actor_that_comes_back_and_dies_again_gets_its_patience_again(time):
    def plan() -> Iterator[tuple[float, object]]:
        for _ in range(2):
            yield 60.0, gone()
            failed_s = time.now_s
            while time.now_s < failed_s + PATIENCE_S - 2:
                yield 0.0, gone()
        yield 60.0, "answer"

    assert run(time, plan()) == "answer"


def test_a_call_that_kills_its_actor_every_time_is_not_made_for_ever(time):
    with pytest.raises(UsageError, match=f"died {MOST_DEATHS + 1} times during one call"):
        run(time, forever(60.0, ActorDiedError))


def test_what_the_method_raised_keeps_its_type(time):
    error = RayTaskError("step", "traceback", ConflictError("moved"), "step", 1, "127.0.0.1")
    with pytest.raises(ConflictError, match="moved"):
        run(time, iter([(0.0, error)]))
    foreign = RayTaskError("step", "traceback", KeyError("x"), "step", 1, "127.0.0.1")
    with pytest.raises(RayTaskError):
        run(time, iter([(0.0, foreign)]))


def test_an_actor_that_cannot_start_says_why_at_once(time):
    text = (
        "Traceback ...\nguardedit.core.errors.UsageError: first\n\n"
        "The above exception was the direct cause:\n\n"
        "Traceback ...\nguardedit.core.errors.WrongBaseModel: probes was changed;\nput it back"
    )
    cause = RayTaskError("__init__", text, WrongBaseModel("x"), "init", 1, "127.0.0.1")
    with pytest.raises(WrongBaseModel, match=r"^probes was changed;\nput it back$"):
        run(time, iter([(0.0, ActorDiedError(cause))]))
    foreign = RayTaskError("__init__", "Traceback\nKeyError: 'x'", KeyError("x"), "init", 1, "127.0.0.1")
    with pytest.raises(UsageError, match="cannot be started: KeyError: 'x'"):
        run(time, iter([(0.0, ActorDiedError(foreign))]))
    assert time.slept == []

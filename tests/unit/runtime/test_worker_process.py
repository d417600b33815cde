"""A model worker in a process of its own: the same results, and a death costs one call."""

from __future__ import annotations

import os
import signal

import pytest

from guardedit import assembly
from guardedit.core.errors import EditError, GuardError
from guardedit.core.probe import Probes, Question, QuestionKind
from guardedit.runtime.worker_process import WorkerProcess

PROBES = Probes(
    texts=("The capital of Norway is Oslo.",),
    questions=(Question(prompt="The capital of Norway is", kind=QuestionKind.OTHER_SUBJECT),),
)


@pytest.mark.slow
def test_it_returns_what_the_worker_returns_and_restarts_after_it_was_killed(settings, policy):
    here = assembly.model_worker(assembly.load_model(settings, policy))
    with WorkerProcess(settings, policy) as process:
        assert process.base_sha256 == here.base_sha256
        found, wanted = process.measure((), PROBES), here.measure((), PROBES)
        assert (found.logprobs, found.answers) == (wanted.logprobs, wanted.answers)
        with pytest.raises(EditError, match="no-such-method"):
            process.propose("no-such-method", [], ())
        assert not process.busy()

        first = process.pid
        os.kill(first, signal.SIGKILL)
        with pytest.raises(GuardError, match="the model worker ended during measure"):
            process.measure((), PROBES)
        assert process.measure((), PROBES).answers == wanted.answers
        assert process.pid != first
    assert process.pid is None

"""A model worker in a process of its own: the same answers, and a death that costs one call."""

from __future__ import annotations

import os
import signal

import pytest

from guardedit import assembly
from guardedit.core.errors import EditError, GuardError
from guardedit.core.probe import Kind, Probes, Question
from guardedit.runtime.apart import WorkerApart

PROBES = Probes(
    texts=("The capital of Norway is Oslo.",),
    questions=(Question(prompt="The capital of Norway is", kind=Kind.OTHER_SUBJECT),),
)


@pytest.mark.slow
def test_it_answers_as_the_worker_does_and_comes_back_after_it_was_killed(settings, policy):
    here = assembly.model_worker(assembly.load_model(settings, policy))
    with WorkerApart(settings, policy) as apart:
        assert apart.base_sha256 == here.base_sha256
        said, wanted = apart.measure((), PROBES), here.measure((), PROBES)
        assert (said.logprobs, said.answers) == (wanted.logprobs, wanted.answers)
        with pytest.raises(EditError, match="no-such-method"):
            apart.propose("no-such-method", [], ())
        assert not apart.busy()

        first = apart.pid
        os.kill(first, signal.SIGKILL)
        with pytest.raises(GuardError, match="the model worker ended during measure"):
            apart.measure((), PROBES)
        assert apart.measure((), PROBES).answers == wanted.answers
        assert apart.pid != first
    assert apart.pid is None

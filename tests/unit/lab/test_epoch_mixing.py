"""The count of mixed answers finds mixtures where there are some."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from guardedit.lab.epoch_mixing import FACTS, measure, snapshots_of
from tests.fakes import BASE, FakeReplica, edit_of


@pytest.fixture(scope="module")
def made(world):
    def edit(groups):
        edits = tuple(edit_of(group) for group in groups)
        return edits, "".join(sorted(one.digest for one in edits))[:64]

    return snapshots_of(world, edit, base_sha256=BASE, seed=0)


def test_every_epoch_says_something_else_in_memory_and_in_the_weights(made):
    assert {len(one.facts) for one in made} == {FACTS}
    assert len({one.epoch.weights_sha256 for one in made}) == len(made)
    for facts in zip(*(one.facts for one in made), strict=True):
        assert len({fact.prompt for fact in facts}) == 1
        assert len({fact.target for fact in facts}) > 1


class Torn(FakeReplica):
    """Names its epoch one answer late."""

    def ask(self, prompts, *, tenant="default"):
        time.sleep(0.001)  # as a model does: epochs change meanwhile
        answers = super().ask(prompts, tenant=tenant)
        named, self.late = getattr(self, "late", answers[0].epoch), answers[0].epoch
        return [replace(one, epoch=named) for one in answers]


def test_a_replica_that_mixes_is_found(made):
    found = measure([Torn()], made, answers=400, seed=0, tell=lambda _: None)
    assert found.mixed > 0


def test_a_replica_that_answers_in_one_piece_has_no_mixed_answers(made):
    class Whole(FakeReplica):
        def follow(self, update):
            with self.lock:
                return super().follow(update)

        def ask(self, prompts, *, tenant="default"):
            time.sleep(0.001)
            with self.lock:
                return super().ask(prompts, tenant=tenant)

    whole = Whole()
    whole.lock = threading.Lock()
    found = measure([whole], made, answers=400, seed=0, tell=lambda _: None)
    assert (found.mixed, found.told_apart) == (0, 1.0)
    assert found.epochs > 1
    assert found.answers >= 400

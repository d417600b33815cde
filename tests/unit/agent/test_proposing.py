"""Edits are stored under what they were made from, a whole proposal at once."""

from __future__ import annotations

import os
import signal

import pytest

from tests.fakes import raw

MESSAGES = (raw("Ada", "Rome"), raw("Bob", "Oslo"), raw("Eve", "Lima"))


def test_a_stored_proposal_is_not_made_again(town):
    town.guard.broken = True
    town.submit(*MESSAGES)
    town.loop.step()
    town.guard.broken = False
    town.settle()
    assert town.worker.proposed == [("Ada", "Bob", "Eve")]


def test_a_group_that_served_before_gets_its_edit_whatever_it_is_beside(town):
    town.send(*MESSAGES)
    fact = town.facts()["Bob"]
    (edit,) = [one for one in town.ledger.edits() if one.subject == "Bob"]
    town.operator.undo(fact.id)
    town.operator.redo(fact.id)
    assert edit in town.ledger.edits()
    assert len(town.worker.proposed) == 1


def test_a_refused_fact_stays_in_memory_with_the_editors_reason(town):
    town.worker.refuses = {"Eve": "its answer was not reached"}
    town.send(*MESSAGES)
    assert town.placed() == {"Ada": "weights", "Bob": "weights", "Eve": "memory"}
    why = town.consolidate.kept.now()[town.facts()["Eve"].id]
    assert (why.code, why.reason) == ("refused", "its answer was not reached")


@pytest.mark.parametrize(
    "point",
    [
        "edit.remember.before",
        "edit.remember.after",
        "promote.proposed",
        "promote.tried",
        "ledger.commit.before",
    ],
)
def test_weights_do_not_depend_on_where_a_crash_happened(build, home, point, tmp_path):
    calm = build(home=tmp_path)
    calm.send(*MESSAGES)
    wanted = calm.ledger.epoch()

    town = build(home=home)
    town.submit(*MESSAGES)
    town.live.step()
    town.stop()
    child = os.fork()
    if child == 0:
        os.environ["GUARDEDIT_FAILPOINT"] = point
        try:
            town.start()
            town.consolidate.step()
        finally:
            os._exit(0)
    ended = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(ended), f"{point} was never reached"
    assert os.WTERMSIG(ended) == signal.SIGKILL
    town.start()
    town.settle()
    assert town.ledger.epoch().weights_sha256 == wanted.weights_sha256
    assert town.ledger.epoch().state_sha256 == wanted.state_sha256

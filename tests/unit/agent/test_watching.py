"""Drift: every served epoch is measured, after a crash at any point and in whichever process it was made."""

from __future__ import annotations

import math
import os
import signal
from dataclasses import replace

import pytest

from guardedit.agent.reversal import Operator
from guardedit.core.errors import GuardError
from tests.fakes import raw

#: In the order in which they are passed, without a breach and with one.
CALM = ("watch.measured", "watch.noted", "watch.good")
BREACH = ("watch.measured", "watch.noted", "watch.rolled_back", "watch.named")


def readings(town):
    return [body for _, _, body in town.ledger.events(kinds=("reading",))]


def test_every_change_of_the_weights_gets_one_reading_and_moves_last_good(town):
    town.send(raw("Ada", "Rome"))
    assert len(readings(town)) == 1
    assert town.ledger.ref("last-good") == town.ledger.epoch().number
    town.send(raw("Bob", "Oslo", provenance={"confidence": 0.5}), name="memory only")
    assert len(readings(town)) == 1
    assert town.ledger.ref("last-good") == town.ledger.epoch().number


def test_nothing_is_promoted_on_top_of_an_epoch_without_a_reading(town):
    town.submit(raw("Ada", "Rome"))
    town.live.step()
    town.consolidate.promote()
    town.submit(raw("Bob", "Oslo"), name="next")
    town.live.step()

    def fail():
        raise GuardError("out of memory with 64 rows a batch: lower batch_rows")

    town.worker.during = fail
    assert town.consolidate.step().promoted == 0
    assert town.consolidate.watch.unfinished()
    assert town.placed() == {"Ada": "weights", "Bob": "memory"}
    assert [e.fields["stage"] for e in town.heard if e.kind == "error"] == ["watch"]
    town.worker.during = None
    town.settle()
    assert town.placed() == {"Ada": "weights", "Bob": "weights"}


def test_a_perplexity_that_is_not_finite_is_no_reading(town):
    town.submit(raw("Ada", "Rome"))
    town.live.step()
    town.consolidate.promote()
    measure = town.worker.measure
    town.worker.measure = lambda edits, probes: replace(
        measure(edits, probes), logprobs=((-math.inf if edits else -1.0,) * 4,)
    )
    for _ in range(3):
        town.consolidate.step()
    assert readings(town) == []
    assert town.consolidate.watch.unfinished()
    errors = [event for event in town.heard if event.kind == "error"]
    assert "no finite perplexity ratio" in errors[-1].fields["message"]


def test_a_breach_rolls_back_quarantines_harmful_facts_and_promotes_the_others_again(town):
    town.send(raw("Ada", "Rome"))
    good = town.ledger.epoch().number
    town.submit(raw("Bob", "Oslo"), raw("Eve", "Lima"), name="2")
    town.live.step()
    town.drift.breaches = {town.ledger.epoch().number + 1}
    town.guard.harmful = set()
    promote = town.consolidate.promote

    def then_harm():
        found = promote()
        town.guard.harmful = {"Eve"}  # the guard could not see it before
        return found

    town.consolidate.promote = then_harm
    town.consolidate.step()
    town.consolidate.promote = promote
    assert "rollback" in [epoch.kind for epoch in town.ledger.epochs()]
    why = town.consolidate.kept.now()[town.facts()["Eve"].id]
    assert (why.state, why.code) == ("quarantined", "breach")
    town.settle()
    assert town.placed() == {"Ada": "weights", "Bob": "weights", "Eve": "memory"}
    assert town.ledger.ref("last-good") > good


def test_an_epoch_of_another_process_is_watched_at_the_next_turn(town):
    town.send(raw("Ada", "Rome"))
    town.send(raw("Bob", "Oslo"), name="2")
    town.consolidate.parts.ledger.epoch()
    Operator(town.live.parts).undo(town.facts()["Ada"].id)  # by a ledger object of its own
    before = len(readings(town))
    town.consolidate.step()
    assert len(readings(town)) == before + 1
    assert readings(town)[-1]["restart"]


def die_at(town, point: str) -> None:
    """In a child: one turn of the consolidating cycle that ends at a failpoint."""
    child = os.fork()
    if child == 0:
        os.environ["GUARDEDIT_FAILPOINT"] = point
        try:
            town.ledger, town.other = None, None
            town.start()
            town.consolidate.step()
        finally:
            os._exit(0)
    ended = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(ended), f"{point} was never reached"
    assert os.WTERMSIG(ended) == signal.SIGKILL


@pytest.mark.parametrize(
    ("point", "breach"), [*((point, False) for point in CALM), *((point, True) for point in BREACH)]
)
def test_a_crash_at_any_point_changes_nothing_in_the_end(town, point, breach):
    town.submit(raw("Ada", "Rome"), raw("Eve", "Lima"))
    town.live.step()
    if breach:
        town.drift.breaches = {town.ledger.epoch().number + 1}
    town.stop()
    die_at(town, point)
    town.start()
    town.settle()
    kinds = [epoch.kind for epoch in town.ledger.epochs()]
    assert kinds.count("rollback") == breach
    quarantined = [why for why in town.consolidate.kept.now().values() if why.state == "quarantined"]
    assert len(quarantined) == breach
    last = town.ledger.epoch()
    assert town.ledger.ref("last-good") == last.number
    assert last.weights_sha256 in {body["weights_sha256"] for body in readings(town)}
    assert town.ledger.verify() == []

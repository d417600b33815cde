"""What the ledger says of destinations: what each replica has, what it answers from, what keeps it back."""

from __future__ import annotations

import pytest

from guardedit.core.errors import LedgerBusy, UsageError
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.ledger.storage.lock import PublisherLock


@pytest.fixture
def three(ledger, make):
    """A ledger with the epochs 0 to 3."""
    ledger.receive([make.delivery(n) for n in (1, 2, 3)])
    for row in ledger.pending(9):
        ledger.settle([make.accepted(row)])
    return ledger


def has(ledger, destination="fleet"):
    return {
        (one.replica, one.name): one.phase for one in ledger.publications() if one.destination == destination
    }


def test_a_replica_has_what_was_published_until_it_is_lost_or_retired(three):
    for phase in ("preparing", "prepared", "confirmed"):
        three.record_phase("fleet", "a", "e1", epoch=1, phase=phase)
        assert has(three) == {("a", "e1"): phase}
    three.record_phase("fleet", "b", "e1", epoch=1, phase="preparing")
    three.record_phase("fleet", "a", "e1", epoch=1, phase="lost")
    assert has(three) == {("b", "e1"): "preparing"}
    three.record_phase("fleet", "b", "e1", epoch=1, phase="retired")
    assert has(three) == {}
    assert three.verify() == []


def test_a_destination_answers_from_its_last_activation(three):
    three.record_activation("fleet", "e1", epoch=1)
    three.record_activation("lake", "x", epoch=1)
    three.record_activation("fleet", "e2", epoch=2)
    assert {name: (one.name, one.epoch) for name, one in three.activations().items()} == {
        "fleet": ("e2", 2),
        "lake": ("x", 1),
    }


def test_a_name_is_replaced_when_the_destination_switches_to_another_name(three):
    three.record_phase("fleet", "a", "e1", epoch=1, phase="confirmed")
    three.record_phase("fleet", "a", "e2", epoch=2, phase="confirmed")
    three.record_phase("fleet", "a", "never", epoch=2, phase="confirmed")
    three.record_activation("fleet", "e1", epoch=1)
    assert three.replaced_at_s("fleet") == {"e1": None}
    three.record_activation("fleet", "e1", epoch=2)  # the same name for another epoch
    assert three.replaced_at_s("fleet") == {"e1": None}
    three.record_activation("fleet", "e2", epoch=2)
    switched = three.activations()["fleet"].at_s
    three.record_activation("fleet", "e2", epoch=3)
    assert three.replaced_at_s("fleet") == {"e1": switched, "e2": None}
    three.record_activation("fleet", "e1", epoch=3)  # back again
    assert three.replaced_at_s("fleet")["e1"] is None
    assert three.replaced_at_s("lake") == {}
    three.record_phase("fleet", "a", "e2", epoch=2, phase="retired")
    assert three.replaced_at_s("fleet") == {"e1": None}
    three.record_phase("fleet", "a", "e1", epoch=1, phase="lost")
    assert three.replaced_at_s("fleet") == {"e1": None}  # lost, and still what it should answer from
    assert three.verify() == []


def test_a_replica_answers_from_the_last_activation_of_what_it_has(three):
    three.record_publish_problem("fleet", "b", "cannot be reached")
    assert three.published_epochs() == {("fleet", "b"): 0}
    for replica in ("a", "b"):
        three.record_phase("fleet", replica, "e1", epoch=1, phase="confirmed")
    three.record_activation("fleet", "e1", epoch=1)
    three.record_phase("fleet", "a", "e2", epoch=2, phase="confirmed")
    three.record_phase("fleet", "b", "e2", epoch=2, phase="prepared")
    assert three.published_epochs() == {("fleet", "a"): 1, ("fleet", "b"): 1}
    three.record_activation("fleet", "e2", epoch=2)
    assert three.published_epochs() == {("fleet", "a"): 2, ("fleet", "b"): 1}
    three.record_phase("fleet", "b", "e1", epoch=1, phase="lost")
    assert three.counts().published == {("fleet", "a"): 2, ("fleet", "b"): 0}


def test_a_problem_stands_until_it_is_over(three):
    three.record_publish_problem("fleet", "b", "cannot be reached")
    three.record_publish_problem("fleet", "b", "refuses")
    [(problem, _)] = three.publish_problems().values()
    assert problem == "refuses"
    assert three.counts().publish_problems == {("fleet", "b")}
    three.record_publish_problem("fleet", "b", "")
    assert three.publish_problems() == {}
    assert three.verify() == []


def test_it_is_written_beside_a_coordinator_and_never_as_a_note(three, folder, make):
    with SqliteLedger.open(folder, clock=make.clock(), writer=False) as beside:
        beside.record_phase("fleet", "a", "e1", epoch=1, phase="confirmed")
    assert has(three) == {("a", "e1"): "confirmed"}
    for kind in ("published", "activated", "publish_problem"):
        with pytest.raises(UsageError):
            three.note(kind, {})


def test_only_one_process_publishes(tmp_path):
    with PublisherLock(tmp_path), pytest.raises(LedgerBusy, match=r"already has a publisher, process \d+"):
        PublisherLock(tmp_path)
    with PublisherLock(tmp_path):
        pass

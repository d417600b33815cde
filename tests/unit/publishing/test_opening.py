"""Following the ledger: every destination on its own, problems recorded, bundles kept while in use."""

from __future__ import annotations

import shutil
import threading
import time

import pytest

from guardedit.core.errors import EditError, LedgerCorrupt, StorageFull
from guardedit.policy.publish import DirectoryDestination
from guardedit.publishing.bundle import read_bundle
from guardedit.publishing.directory import Directory
from guardedit.publishing.making import BundleMaker
from guardedit.publishing.opening import Publishing
from guardedit.publishing.publisher import Publisher


@pytest.fixture
def publishing(world, tmp_path, monkeypatch):
    """Two directories, asked for new epochs all the time."""
    monkeypatch.setattr("guardedit.publishing.opening.POLL_S", 0.01)
    monkeypatch.setattr("guardedit.publishing.opening.RETRY_S", 0.02)
    ats = [
        Directory(DirectoryDestination(name=name, kind="directory", path=str(tmp_path / name)))
        for name in ("slow", "fast")
    ]
    publishers = tuple(Publisher(world.ledger, at, clock=world.clock) for at in ats)
    return Publishing(publishers, world.ledger, world.maker, False, lambda *_: None)


class Running:
    """The loop in a thread."""

    def __init__(self, publishing):
        self.stop, self.error = threading.Event(), None

        def run():
            try:
                publishing.run(self.stop)
            except Exception as error:  # noqa: BLE001 - for the test to look at
                self.error = error

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop.set()
        self.thread.join(30)
        assert not self.thread.is_alive()


def wait_for(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def epochs(world):
    return {destination: epoch for (destination, _), epoch in world.ledger.published_epochs().items()}


def test_a_slow_destination_keeps_its_bundle_and_holds_up_no_other_one(world, publishing, monkeypatch):
    may, begun = threading.Event(), threading.Event()
    slow = publishing.publishers[0]._destination
    prepare, first = slow.prepare, world.serving

    def slowly(replica, name, bundle):
        begun.set()
        assert may.wait(30)
        prepare(replica, name, bundle)

    monkeypatch.setattr(slow, "prepare", slowly)
    with Running(publishing) as running:
        assert begun.wait(30)
        wait_for(lambda: epochs(world).get("fast") == first)
        world.remember(2)
        wait_for(lambda: epochs(world)["fast"] == world.serving)
        assert epochs(world)["slow"] == 0
        assert read_bundle(world.home / "publish" / "epochs" / f"e{first:06d}").epoch == first
        may.set()
        wait_for(lambda: epochs(world)["slow"] == world.serving)
    assert running.error is None
    world.remember(3)
    publishing.once()
    [left] = (world.home / "publish" / "epochs").iterdir()
    assert read_bundle(left).epoch == world.serving


def test_an_epoch_that_cannot_become_an_adapter_is_a_problem_of_every_destination(world, publishing):
    before = world.serving
    refusing = BundleMaker(world.home / "publish", raising(EditError("edits of layer 3 run beside it")))
    told = []
    publishing = Publishing(
        publishing.publishers, world.ledger, refusing, False, lambda *said: told.append(said)
    )
    with Running(publishing) as running:
        wait_for(lambda: epochs(world) == {"slow": before, "fast": before})
        world.promote(world.remember(2))
        wait_for(lambda: len(world.ledger.publish_problems()) == 2)
        problems = {problem for problem, _ in world.ledger.publish_problems().values()}
        assert problems == {f"epoch {world.serving} cannot be published: edits of layer 3 run beside it"}
        world.promote()
        wait_for(lambda: set(epochs(world).values()) == {world.serving})
        assert world.ledger.publish_problems() == {}
    assert running.error is None
    assert {name for name, said in told if "cannot be published" in said} == {"slow", "fast"}


def test_while_an_epoch_cannot_become_an_adapter_what_is_active_is_looked_after(world, tmp_path, publishing):
    publishing.once()
    before, asked = epochs(world), []

    def refuse(snapshot, _folder):
        asked.append(snapshot)
        raise EditError("edits of layer 3 run beside it")

    world.promote(world.remember(2))
    maker = BundleMaker(world.home / "publish", refuse)
    held = Publishing(publishing.publishers, world.ledger, maker, False, lambda *_: None)
    shutil.rmtree(tmp_path / "slow" / "epochs")
    for _ in range(3):
        passed = held.once()
        assert [one.active for one in passed.values()] == [False, False]
        problems = {problem for problem, _ in world.ledger.publish_problems().values()}
        assert problems == {f"epoch {world.serving} cannot be published: edits of layer 3 run beside it"}
        events = len(world.ledger.events())
        assert read_bundle(tmp_path / "slow" / "current").epoch == before["slow"]
    held.once()
    assert len(world.ledger.events()) == events
    assert len(asked) == 1
    assert epochs(world) == before


def test_a_moment_in_which_the_ledger_cannot_be_read_does_not_end_it(world, publishing, monkeypatch):
    ref, failures = world.ledger.ref, iter([StorageFull("no space left")] * 2)
    serving = world.serving

    def sometimes(name):
        if error := next(failures, None):
            raise error
        return ref(name)

    monkeypatch.setattr(world.ledger, "ref", sometimes)
    with Running(publishing) as running:
        wait_for(lambda: epochs(world) == {"slow": serving, "fast": serving})
    assert running.error is None


def test_a_stop_is_heeded_between_two_replicas(world, fleet, servers):
    servers[1].away = True  # would be a problem if it was asked
    stopped = iter([False, True])
    passed = Publisher(world.ledger, fleet(), clock=world.clock).publish(
        world.maker.bundle(world.ledger.snapshot()), stopped=lambda: next(stopped)
    )
    assert (passed.active, passed.problems) == (False, {})


def test_a_ledger_that_cannot_be_trusted_ends_it(world, publishing):
    refusing = BundleMaker(world.home / "publish", raising(LedgerCorrupt("the edits fold to other weights")))
    world.promote(world.remember(2))
    ended = Publishing(publishing.publishers, world.ledger, refusing, False, lambda *_: None)
    with pytest.raises(LedgerCorrupt):
        ended.run(threading.Event())
    assert len(world.ledger.publish_problems()) >= 1


def test_adapters_of_the_last_few_weights_are_kept(world):
    facts = [world.remember(n) for n in range(2, 8)]
    for n in range(1, 7):
        world.promote(*facts[:n])
        world.maker.bundle(world.ledger.snapshot())
    kept = world.home / "publish" / "adapters"
    assert {path.name for path in kept.iterdir()} == set(world.made[-4:])


def raising(error):
    def write(_snapshot, _folder):
        raise error

    return write

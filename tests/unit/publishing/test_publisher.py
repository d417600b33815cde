"""Publishing to every kind of destination: two phases, rollback, retirement, and what was lost."""

from __future__ import annotations

import shutil

import pytest

from guardedit.core.epoch import Change
from guardedit.core.errors import PublishError
from guardedit.publishing.directory import Directory
from guardedit.publishing.fleet import Fleet


def test_an_epoch_is_prepared_confirmed_and_active_and_a_second_pass_does_nothing(
    world, destination, servers
):
    at, steps = destination(), []
    world.promote(world.remember(2))
    assert world.publish(at, steps=steps).active
    replicas = 3 if isinstance(at, Fleet) else 1
    assert [step.action for step in steps] == ["prepare", "confirm"] * replicas + ["activate"]
    name = steps[-1].name
    assert world.active(at) == (name, world.serving)
    assert set(world.phases().values()) == {"confirmed"}
    assert set(world.ledger.published_epochs().values()) == {world.serving}
    events, again = len(world.ledger.events()), []
    assert world.publish(destination(), steps=again).active
    assert again == []
    assert len(world.ledger.events()) == events
    assert world.ledger.verify() == []


def test_the_next_epoch_replaces_it_and_the_earlier_one_goes_after_the_drain_time(world, destination):
    at = destination(drain_s=60, keep=0)
    first, second = world.remember(2), world.remember(3)
    world.promote(first)
    world.publish(at)
    before = world.active(at)
    world.promote(first, second)
    steps = []
    world.publish(at, steps=steps)
    assert "retire" not in {step.action for step in steps}
    assert world.active(at)[1] == world.serving
    world.clock.now_s += 59
    world.publish(at, steps=steps)
    assert "retire" not in {step.action for step in steps}
    world.clock.now_s += 2
    world.publish(at, steps=steps)
    assert {step.name for step in steps if step.action == "retire"} == {before[0]}
    assert before[0] not in {name for _, name in world.phases()}
    assert all(before[0] not in at.look(replica).names for replica in at.replicas)


def test_the_latest_ones_stay_for_a_rollback(world, destination):
    at = destination(drain_s=0, keep=2)
    facts, names = [world.remember(n) for n in range(2, 7)], []
    for n in range(1, 6):
        world.promote(*facts[:n])
        world.publish(at)
        world.publish(at)
        names.append(world.active(at)[0])
    assert {name for _, name in world.phases()} == set(names[-3:])


def test_an_undo_is_a_new_epoch_that_is_published_too(world, destination):
    at, fact = destination(), world.remember(2)
    world.promote(fact)
    world.publish(at)
    world.ledger.change_facts([Change(fact.key, None)], kind="undo", reason="by hand")
    world.publish(at)
    assert world.active(at)[1] == world.serving
    assert set(world.ledger.published_epochs().values()) == {world.serving}


def test_a_rollback_to_earlier_weights_makes_no_adapter_again(world, destination):
    at = destination()
    first, second = world.remember(2), world.remember(3)
    world.promote(first)
    world.publish(at)
    world.promote(first, second)
    world.publish(at)
    assert len(world.made) == 2
    world.promote(first)
    assert world.publish(at).active
    assert len(world.made) == 2
    assert world.active(at)[1] == world.serving


def test_an_epoch_without_edits_publishes_facts_alone(world, destination, servers):
    at = destination()
    bundle = world.maker.bundle(world.ledger.snapshot())
    assert sorted(bundle.files) == ["memory_facts.jsonl"]
    assert not bundle.has_adapter
    assert world.publish(at).active
    assert world.made == []
    assert world.active(at)[1] == 1


def test_what_somebody_deleted_is_brought_again(world, destination, servers):
    at = destination()
    world.promote(world.remember(2))
    world.publish(at)
    name, steps = world.active(at)[0], []
    if isinstance(at, Fleet):
        servers[1].restart()
    elif isinstance(at, Directory):
        for path in (at._folder / "epochs" / name).iterdir():
            path.unlink()
        (at._folder / "epochs" / name).rmdir()
    else:
        with at._store("") as (store, root):
            store.rm(f"{root}/epochs/{name}", recursive=True)
    assert world.publish(at, steps=steps).active
    assert [step.action for step in steps] == ["lose", "prepare", "confirm"]
    assert all(name in at.look(replica).names for replica in at.replicas)


def test_a_directory_whose_active_epoch_was_deleted_takes_the_next_one(world, directory):
    at = directory()
    world.publish(at)
    shutil.rmtree(at._path(world.active(at)[0]))
    world.remember(2)
    assert world.publish(at).active
    assert world.active(at)[1] == world.serving


def test_a_step_that_fails_is_not_tried_again_in_the_same_pass(world, fleet, servers, monkeypatch):
    at = fleet(drain_s=0, keep=0)
    world.promote(world.remember(2))
    world.publish(at)
    first, _ = world.active(at)
    world.promote(world.remember(3))
    servers[0].refused = {"unload_lora_adapter": "busy"}
    for _ in range(2):
        passed = world.publish(at)
    assert passed.active
    assert list(passed.problems) == [servers[0].url]
    servers[0].restart()  # lost: still, nothing of it is forgotten before it was retired
    servers[0].refused = {"models": "busy"}
    passed = world.publish(at)
    assert (servers[0].url, first) in world.phases()
    servers[0].refused = {}
    assert world.publish(at).problems == {}
    assert first not in {name for _, name in world.phases()}


def test_what_is_active_is_never_deleted(world, directory):
    at = directory(keep=0, drain_s=0)
    world.publish(at)
    name, _ = world.active(at)
    with pytest.raises(PublishError, match="it is not deleted"):
        at.retire("", name, last=True)

"""Directories and object stores: what a reader finds at any moment, and what is refused."""

from __future__ import annotations

import json
import os

import fsspec
import pytest
from safetensors import SafetensorError

from guardedit.core.errors import PublishError
from guardedit.models.export import folder as exported
from guardedit.policy.publish import ObjectsDestination
from guardedit.publishing import bundle as bundles
from guardedit.publishing.bundle import read_bundle
from guardedit.publishing.folders import place
from guardedit.publishing.making import BundleMaker
from guardedit.publishing.objects import Objects
from guardedit.publishing.publisher import Publisher


@pytest.fixture
def bundle(world):
    world.promote(world.remember(2))
    return world.maker.bundle(world.ledger.snapshot())


def test_the_files_have_the_names_of_an_export():
    assert (bundles.MANIFEST, bundles.MEMORY_FACTS) == (exported.MANIFEST, exported.MEMORY_FACTS)


def test_a_manifest_says_what_it_belongs_to_and_every_digest(bundle, world):
    body, epoch = json.loads((bundle.folder / "guardedit.json").read_text()), world.ledger.epoch()
    assert {key: body[key] for key in ("epoch", "base_sha256", "weights_sha256", "state_sha256")} == {
        "epoch": epoch.number,
        "base_sha256": epoch.base_sha256,
        "weights_sha256": epoch.weights_sha256,
        "state_sha256": epoch.state_sha256,
    }
    assert [fact["subject"] for fact in body["facts_in_weights"]] == ["Land 2"]
    [fact] = [json.loads(line) for line in (bundle.folder / "memory_facts.jsonl").read_text().splitlines()]
    assert (fact["subject"], fact["target"]) == ("Land 1", "Oslo")
    assert set(body["files"]) == {"adapter_config.json", "adapter_model.safetensors", "memory_facts.jsonl"}


def test_a_bundle_has_the_same_bytes_each_time(bundle, world):
    for path in bundle.folder.iterdir():
        path.unlink()
    again = world.maker.bundle(world.ledger.snapshot())
    assert again == bundle


def test_a_damaged_adapter_that_is_kept_is_made_again(bundle, world):
    [kept] = (world.home / "publish" / "adapters").iterdir()
    (kept / "adapter_model.safetensors").write_bytes(b"other")  # the file of the bundle too
    assert world.maker.bundle(world.ledger.snapshot()) == bundle
    assert read_bundle(bundle.folder) == bundle


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), SafetensorError("I/O error")])
def test_a_full_disk_is_a_problem_that_says_so(world, error):
    def write(_snapshot, _folder):
        raise error

    world.promote(world.remember(2))
    with pytest.raises(PublishError, match=r"cannot write .*(No space left|I/O error).*; check the path"):
        BundleMaker(world.home / "publish", write).bundle(world.ledger.snapshot())


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: (path / "memory_facts.jsonl").write_text("{}"), "has other bytes than were written"),
        (lambda path: (path / "memory_facts.jsonl").unlink(), "memory_facts.jsonl is missing"),
        (lambda path: (path / "more").touch(), "more does not belong there"),
        (lambda path: (path / "guardedit.json").write_text("[]"), "is none of guardedit's"),
        (lambda path: (path / "guardedit.json").write_text("[" * 100_000), "is none of guardedit's"),
        (lambda path: (path / "guardedit.json").unlink(), "cannot be read"),
    ],
)
def test_a_spoiled_copy_is_not_confirmed(bundle, directory, spoil, message):
    at = directory()
    at.prepare("", bundle.name, bundle)
    at.confirm("", bundle.name, bundle)
    folder = at._path(bundle.name)
    spoil(folder)
    with pytest.raises(PublishError, match=message):
        at.confirm("", bundle.name, bundle)
    at.prepare("", bundle.name, bundle)  # is written anew
    at.confirm("", bundle.name, bundle)


@pytest.mark.parametrize("kind", ["directory", "bucket"])
def test_what_was_damaged_on_its_way_is_brought_again(world, kind, request, monkeypatch):
    at = request.getfixturevalue(kind)
    at = at() if kind == "directory" else at
    publisher, prepare = Publisher(world.ledger, at, clock=world.clock), at.prepare

    def damaging(replica, name, bundle):
        prepare(replica, name, bundle)
        if kind == "directory":
            (at._path(name) / "memory_facts.jsonl").write_text("cut off")
        else:
            store, root = stored(at)
            store.pipe_file(f"{root}/epochs/{name}/memory_facts.jsonl", b"cut off")

    monkeypatch.setattr(at, "prepare", damaging)
    bundle = world.maker.bundle(world.ledger.snapshot())
    assert not publisher.publish(bundle).active
    monkeypatch.undo()
    events = len(world.ledger.events())
    assert publisher.publish(bundle).active
    assert len(world.ledger.events()) == events + 3  # confirmed, activated, no longer a problem


def test_a_reader_of_the_link_finds_a_whole_epoch_at_every_moment(world, directory, monkeypatch):
    """Reads through `current` at each failpoint of many publications."""
    at, seen = directory(drain_s=0, keep=0), set()
    world.publish(at)
    facts = [world.remember(n) for n in range(2, 6)]

    def read(_name):
        found = read_bundle(at._folder / "current")
        seen.add(found.epoch)

    for where in ("folders", "directory", "publisher"):
        monkeypatch.setattr(f"guardedit.publishing.{where}.failpoint", read)
    for n in range(1, 5):
        world.promote(*facts[:n])
        world.publish(at)
        world.publish(at)
    assert len(seen) == 5


def test_a_link_that_is_none_is_left_alone(bundle, directory):
    at = directory()
    at.prepare("", bundle.name, bundle)
    (at._folder / "current").mkdir()
    with pytest.raises(PublishError, match="is not a link"):
        at.activate(bundle.name, 1)
    assert (at._folder / "current").is_dir()


def test_a_switch_that_fails_is_a_problem_and_not_the_end(world, directory):
    at = directory()
    (at._folder / "current").mkdir(parents=True)
    passed = world.publish(at)
    assert not passed.active
    assert "is not a link" in passed.problems[""]
    (at._folder / "current").rmdir()
    assert world.publish(at).active


def test_a_link_that_was_moved_by_hand_is_noticed_and_moved_back(world, directory):
    at = directory()
    world.publish(at)
    first = world.active(at)
    world.remember(2)
    world.publish(at)
    link, steps = at._folder / "current", []
    link.unlink()
    link.symlink_to(f"epochs/{first[0]}")
    assert world.publish(at, steps=steps).active
    assert [step.action for step in steps] == ["notice", "activate"]
    assert str(link.readlink()) == f"epochs/{world.active(at)[0]}"
    kinds = [body["epoch"] for _, _, body in world.ledger.events(kinds=["activated"])]
    assert kinds == [1, 2, 1, 2]


def test_a_link_that_was_deleted_by_hand_is_made_again_and_recorded_once(world, directory):
    at, steps = directory(), []
    world.publish(at)
    (at._folder / "current").unlink()
    assert world.publish(at, steps=steps).active
    assert [step.action for step in steps] == ["activate"]
    assert (at._folder / "current").is_symlink()
    assert len(world.ledger.events(kinds=["activated"])) == 1


def test_a_folder_that_cannot_be_written_is_a_problem_and_not_the_end(world, directory, tmp_path):
    (tmp_path / "lake").write_text("a file")
    passed = world.publish(directory())
    assert not passed.active
    assert str(tmp_path / "lake") in passed.problems[""]


def test_a_file_that_is_left_of_an_earlier_try_is_swept_away(bundle, tmp_path):
    left = tmp_path / "there" / ".e1.part"
    left.mkdir(parents=True)
    (left / "half").touch()
    place(bundle, tmp_path / "there" / "e1")
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["e1"]
    assert read_bundle(tmp_path / "there" / "e1").files == bundle.files


# Object stores.


@pytest.fixture
def bucket():
    url = f"memory://{os.urandom(8).hex()}"
    return Objects(ObjectsDestination(name="bucket", kind="objects", url=url, drain_s=0.0, keep=0))


def stored(bucket):
    store, root = fsspec.core.url_to_fs(bucket._url)
    return store, root


def test_the_object_that_names_the_epoch_is_written_last(world, bucket, monkeypatch):
    store, root = stored(bucket)
    world.promote(world.remember(2))
    written = []

    def look(_name):
        found = [path.rpartition("/")[2] for path in store.find(root)]
        written.append(("guardedit.json" in found, "current.json" in found))

    monkeypatch.setattr("guardedit.publishing.objects.failpoint", look)
    world.publish(bucket)
    assert written == [(False, False)] * 3 + [(True, False)]
    named = json.loads(store.cat_file(f"{root}/current.json"))
    name = world.active(bucket)[0]
    assert named == {"epoch": world.serving, "name": name, "path": f"epochs/{name}"}
    assert {path.rpartition("/")[2] for path in store.find(f"{root}/{named['path']}")} == {
        *("adapter_config.json", "adapter_model.safetensors", "memory_facts.jsonl", "guardedit.json")
    }


@pytest.mark.parametrize("spoil", ["changed", "missing", "more", "manifest"])
def test_objects_that_are_not_what_was_written_are_not_confirmed(bundle, bucket, spoil):
    bucket.prepare("", bundle.name, bundle)
    store, root = stored(bucket)
    folder = f"{root}/epochs/{bundle.name}"
    match spoil:
        case "changed":
            store.pipe_file(f"{folder}/adapter_model.safetensors", b"x")
        case "missing":
            store.rm_file(f"{folder}/memory_facts.jsonl")
        case "more":
            store.pipe_file(f"{folder}/more", b"x")
        case "manifest":
            store.pipe_file(f"{folder}/guardedit.json", b"{}")
    with pytest.raises(PublishError):
        bucket.confirm("", bundle.name, bundle)
    if spoil != "more":
        bucket.prepare("", bundle.name, bundle)
        bucket.confirm("", bundle.name, bundle)


@pytest.mark.parametrize("named", [b"", b"[]", b'{"name": 3}', b"\xff"])
def test_an_object_of_another_program_under_that_name_is_replaced(world, bucket, named):
    store, root = stored(bucket)
    store.pipe_file(f"{root}/current.json", named)
    assert world.publish(bucket).active


def test_a_store_that_does_not_exist_is_a_problem_and_not_the_end(world):
    at = Objects(ObjectsDestination(name="b", kind="objects", url="nosuch://bucket/x"))
    problem = world.publish(at).problems[""]
    assert "nosuch://bucket/x" in problem
    assert "Protocol not known" in problem


def test_whatever_a_store_raises_is_a_problem(world, bucket, monkeypatch):
    world.publish(bucket)

    def broken(*_args, **_more):
        raise RuntimeError("the store is on fire")

    monkeypatch.setattr(bucket._opened[0], "put_file", broken)
    world.remember(2)
    assert "the store is on fire" in world.publish(bucket).problems[""]


def test_a_store_that_is_away_does_not_count_as_up_to_date(world, bucket, monkeypatch):
    assert world.publish(bucket).active

    def away(*_args, **_more):
        raise OSError("no route to host")

    monkeypatch.setattr(bucket._opened[0], "find", away)
    passed = world.publish(bucket)
    assert not passed.active
    assert "no route to host" in passed.problems[""]


def test_a_stop_ends_it_after_the_running_step(world, bucket):
    steps = []
    publisher = Publisher(world.ledger, bucket, clock=world.clock, tell=steps.append)
    bundle = world.maker.bundle(world.ledger.snapshot())
    assert not publisher.publish(bundle, stopped=lambda: len(steps) == 2).active
    assert [step.action for step in steps] == ["prepare", "confirm"]
    assert publisher.publish(bundle).active
    assert [step.action for step in steps] == ["prepare", "confirm", "activate"]

"""Publishing to a server that speaks S3 over HTTP, moto's; `make publish-check` installs and runs it.

It is no part of `make test`, because moto and s3fs take minutes to install.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator

import fsspec
import pytest

from guardedit.policy.publish import ObjectsDestination
from guardedit.publishing.objects import Objects
from tests.unit.publishing.conftest import Clock, open_world

pytest.importorskip("s3fs", reason="`make publish-check` installs s3fs and moto")
moto_server = pytest.importorskip("moto.server", reason="`make publish-check` installs s3fs and moto")


@pytest.fixture
def bucket(monkeypatch) -> Iterator[str]:
    """The address of an empty bucket."""
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "of-nobody")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "of-nobody")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    # What fsspec makes of FSSPEC_S3_ENDPOINT_URL when it is imported.
    monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": f"http://{host}:{port}"})
    name = f"models-{os.urandom(4).hex()}"  # moto's servers of one process share their buckets
    fsspec.filesystem("s3").mkdir(name)
    yield f"s3://{name}/some/prefix"
    server.stop()


def test_epochs_are_published_confirmed_and_retired(bucket, tmp_path):
    world = open_world(tmp_path / "home", Clock())
    section = ObjectsDestination(name="bucket", kind="objects", url=bucket, drain_s=0.0, keep=0)
    world.remember(1)
    facts = [world.remember(n) for n in (2, 3, 4)]
    for n in (1, 2, 3):
        world.promote(*facts[:n])
        assert world.publish(Objects(section)).active
        assert world.publish(Objects(section)).active
    at = Objects(section)
    name, epoch = world.active(at)
    assert at.look("").names == {name}
    with at._store("") as (store, root):
        found = {path.removeprefix(f"{root}/") for path in store.find(root)}
        named = json.loads(store.cat_file(f"{root}/current.json"))
        files = ("adapter_config.json", "adapter_model.safetensors", "guardedit.json", "memory_facts.jsonl")
        assert found == {"current.json", *(f"epochs/{name}/{file}" for file in files)}
        assert named == {"epoch": epoch, "name": name, "path": f"epochs/{name}"}
        store.rm_file(f"{root}/epochs/{name}/guardedit.json")  # by somebody else
    steps = []
    assert world.publish(at, steps=steps).active
    assert [step.action for step in steps] == ["lose", "prepare", "confirm"]
    assert world.ledger.verify() == []
    world.ledger.close()


def test_a_bucket_that_does_not_exist_is_a_problem_and_not_the_end(bucket, tmp_path):
    world = open_world(tmp_path / "home", Clock())
    section = ObjectsDestination(name="bucket", kind="objects", url="s3://nosuch/prefix")
    passed = world.publish(Objects(section))
    assert not passed.active
    assert passed.problems[""].startswith("s3://nosuch/prefix cannot be ")
    world.ledger.close()

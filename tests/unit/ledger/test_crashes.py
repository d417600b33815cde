"""Real processes: killed at every durable step, out of disk space, two at once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import guardedit
from guardedit.core.messages import Delivery

HERE = Path(__file__).parent
#: The package under test, wherever the tests were started.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(guardedit.__file__).parents[1])}

SEND = """
import sys
from pathlib import Path
from guardedit.core.messages import Delivery
from guardedit.ledger.sqlite_ledger import SqliteLedger
with SqliteLedger.open(Path(sys.argv[1]), clock=lambda: 1.0, writer=False) as ledger:
    for n in range(20):
        ledger.receive([Delivery(raw=b"x", source=sys.argv[2], position=str(n))])
"""

COORDINATE = """
import sys, time
from pathlib import Path
from guardedit.core.errors import LedgerBusy
from guardedit.ledger.sqlite_ledger import SqliteLedger
try:
    SqliteLedger.open(Path(sys.argv[1]), base_sha256="b" * 64, clock=lambda: 1.0)
except LedgerBusy as error:
    sys.exit(str(error))
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=ENVIRONMENT)


def test_a_kill_at_any_durable_step_loses_nothing_and_repeats_nothing():
    done = run(HERE / "gauntlet.py")
    wrong = [line for line in done.stdout.splitlines() if not line.endswith(": ok")]
    assert wrong == ["51 kills, 0 wrong"], done.stdout + done.stderr
    assert done.returncode == 0


def test_the_gauntlet_catches_a_sender_that_acknowledges_before_the_commit():
    done = run(HERE / "gauntlet.py", "--ack-first", "inbox.insert.before:1")
    assert "lost: first 0" in done.stdout
    assert done.returncode == 1


def test_a_full_disk_keeps_what_was_acknowledged_and_nothing_else(folder):
    done = run(HERE / "disk_full.py", folder)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert "cannot write" in report["said"]
    assert "nothing was kept" in report["said"]
    assert report["kept"] == report["acknowledged"] > 0
    assert "cannot write" in report["blob_said"]
    assert report["leftovers"] == []
    assert report["after"] == report["kept"] + 1
    assert report["recalled"]
    assert report["problems"] == []


def test_a_second_coordinator_process_is_refused(ledger, folder):
    done = run("-c", COORDINATE, folder)
    assert done.returncode == 1
    assert "already has a coordinator" in done.stderr


def test_a_coordinator_that_was_killed_leaves_no_lock(folder, open_ledger):
    done = run("-c", COORDINATE + "\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)", folder)
    assert done.returncode == -9
    assert open_ledger().epoch().number == 0


def test_processes_may_send_at_once_into_a_ledger_that_does_not_exist_yet(folder, open_ledger):
    senders = [
        subprocess.Popen(
            [sys.executable, "-c", SEND, str(folder), f"sender{n}"], stderr=subprocess.PIPE, env=ENVIRONMENT
        )
        for n in range(4)
    ]
    errors = [sender.communicate(timeout=60)[1].decode() for sender in senders]
    assert errors == [""] * 4
    ledger = open_ledger()
    assert len(ledger.pending(1_000)) == 80
    assert ledger.verify() == []


def test_threads_may_count_while_the_coordinator_writes(ledger):
    stop, seen = threading.Event(), []

    def scrape() -> None:
        while not stop.is_set():
            seen.append(ledger.counts().inbox_waiting)

    thread = threading.Thread(target=scrape)
    thread.start()
    for n in range(50):
        ledger.receive([Delivery(raw=b"x", source="s", position=f"{n}.{i}") for i in range(2)])
    stop.set()
    thread.join()
    assert ledger.counts().inbox_waiting == 100
    assert seen == sorted(seen)
    assert all(count % 2 == 0 for count in seen)  # never half a transaction

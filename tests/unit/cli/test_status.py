from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

from guardedit.ledger.sqlite_ledger import SqliteLedger


def test_status_shows_facts_by_placement_and_what_waits(guardedit, ledger_file):
    result = guardedit("status", "--output", "json").json

    assert (result["epoch"], result["last_good"]) == (3, 2)
    assert result["facts"] == {"memory": 1, "weights": 1}
    assert (result["weight_edits"], result["kept_in_memory"]) == (1, 1)
    assert (result["waiting"], result["held"], result["dead_letters"]) == (1, 1, 1)
    assert result["trials"] == {"accept": 1}
    assert abs(result["perplexity_ratio"] - 1.01) < 1e-4


def test_status_is_plain_lines_in_a_pipe(guardedit, ledger_file):
    result = guardedit("status")

    assert result.lines[0].split() == ["epoch", "3"]
    assert "facts             memory 1, weights 1" in result.lines
    assert result.out.isascii()


def test_a_ledger_without_an_epoch_has_a_status(guardedit):
    guardedit("submit", "-", stdin=b"{}\n")

    result = guardedit("status", "-o", "json").json

    assert (result["epoch"], result["waiting"], result["perplexity_ratio"]) == (None, 1, None)


def test_without_a_ledger_the_remedy_is_named_and_none_is_made(guardedit, home):
    result = guardedit("status")

    assert result.code == 2
    assert result.err.startswith(f"error: there is no ledger in {home}: `guardedit submit`")
    assert not home.exists()


def test_watching_prints_a_line_per_change_and_ends_calmly_with_an_interrupt(home, ledger_file):
    command = [sys.executable, "-m", "guardedit", "status", "-w", "--every", "0.1", "-o", "json"]
    watching = subprocess.Popen(
        [*command, "--home", home],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(os.environ),
        # Whoever runs the tests in a shell's background has interrupts ignored, and children inherit it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  # no threads here
    )
    try:
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        with SqliteLedger.open(home, clock=lambda: 1.0, writer=False) as ledger:
            ledger.drop(4)
        second = json.loads(watching.stdout.readline())
        watching.send_signal(signal.SIGINT)
        rest, errors = watching.communicate(timeout=30)
    finally:
        watching.kill()  # where it would not end by itself

    assert (first["dead_letters"], second["dead_letters"]) == (1, 0)
    assert (watching.returncode, rest, errors) == (0, b"", b"")

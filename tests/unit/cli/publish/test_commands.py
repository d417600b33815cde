"""`guardedit publish`: what it prints, how it ends, and what its status reads from the ledger."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import guardedit as package
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.ledger.storage.lock import PublisherLock

RULES = "apiVersion: guardedit/v1\nrules:\n  - {id: all, route: memory, why: enough}\n"


@pytest.fixture
def begun(home):
    """A ledger at epoch 0, the base model."""
    with SqliteLedger.open(home, base_sha256="b" * 64, weights_sha256="b" * 64, clock=time.time) as ledger:
        yield ledger


@pytest.fixture
def lake(home, monkeypatch, tmp_path):
    """A policy with one directory; its path."""
    path = tmp_path / "lake"
    file = tmp_path / "policy.yaml"
    file.write_text(f"{RULES}publish:\n  - {{name: lake, kind: directory, path: {path}}}\n")
    return path, file


def test_the_present_epoch_is_published_once(guardedit, begun, lake):
    path, policy = lake
    result = guardedit("publish", "run", "--once", "--policy", policy, "-o", "json")
    assert result.code == 0
    messages = [json.loads(line)["message"] for line in result.lines]
    assert [message.split()[0] for message in messages] == ["prepare", "confirm", "activate"]
    assert json.loads((path / "current" / "guardedit.json").read_text())["epoch"] == 0
    [row] = guardedit("publish", "status", "--policy", policy, "-o", "json").json
    assert row == {
        "destination": "lake", "replica": None, "epoch": 0, "behind": 0, "phase": "confirmed",
        "active": path.joinpath("current").readlink().name, "problem": None, "since": None,
    }  # fmt: skip
    assert guardedit("verify", "--ledger-only").code == 0
    assert 'guardedit_published_epoch{destination="lake",replica=""} 0.0' in guardedit("metrics").out


def test_the_last_destination_can_be_closed(guardedit, begun, lake, tmp_path):
    path, policy = lake
    assert guardedit("publish", "run", "--once", "--policy", policy).code == 0
    policy.write_text(RULES)
    result = guardedit("publish", "run", "--once", "--policy", policy)
    assert (result.code, "lake: closed" in result.out) == (0, True)
    assert guardedit("publish", "status", "--policy", policy).out == "the policy has no destination\n"
    assert "guardedit_published_epoch{" not in guardedit("metrics").out
    assert (begun.activations(), begun.verify()) == ({}, [])
    assert (path / "current").exists()
    assert guardedit("publish", "run", "--once", "--policy", policy).code == 2


def test_what_cannot_be_published_is_said_and_the_exit_code_is_one(guardedit, begun, lake, tmp_path):
    path, policy = lake
    path.write_text("a file")
    result = guardedit("publish", "run", "--once", "--policy", policy)
    assert result.code == 1
    assert result.err.startswith(f"error: lake: cannot write {path}")
    [row] = guardedit("publish", "status", "--policy", policy, "-o", "json").json
    assert row["problem"].startswith(f"cannot write {path}")
    assert row["since"] is not None
    assert 'guardedit_publish_problem{destination="lake",replica=""} 1.0' in guardedit("metrics").out


def test_an_epoch_with_edits_needs_the_model_and_says_which(guardedit, ledger_file, lake):
    _, policy = lake
    result = guardedit("publish", "run", "--once", "--policy", policy)
    assert result.code == 1
    assert "belongs to base model bbbbbbbbbbbb" in result.err


def test_without_a_destination_there_is_nothing_to_do(guardedit, begun):
    result = guardedit("publish", "run", "--once")
    assert (result.code, result.err) == (
        2, "error: the policy has no destination: add a `publish` section to it\n",
    )  # fmt: skip
    assert guardedit("publish", "status").out == "the policy has no destination\n"


def test_without_an_epoch_there_is_nothing_to_publish(guardedit, home, lake):
    _, policy = lake
    assert "there is no ledger" in guardedit("publish", "run", "--once", "--policy", policy).err
    SqliteLedger.open(home, clock=time.time, writer=False).close()
    assert "has no epoch yet" in guardedit("publish", "run", "--once", "--policy", policy).err


def test_a_second_publisher_is_refused(guardedit, begun, home, lake):
    with PublisherLock(home):
        result = guardedit("publish", "run", "--once", "--policy", lake[1])
    assert result.code == 4
    assert "already has a publisher, process" in result.err


def test_in_shadow_mode_the_base_model_is_published(guardedit, ledger_file, lake):
    path, policy = lake
    policy.write_text(policy.read_text() + "mode: shadow\n")
    assert guardedit("publish", "run", "--once", "--policy", policy).code == 0
    body = json.loads((path / "current" / "guardedit.json").read_text())
    assert (body["epoch"], body["facts_in_memory"], body["facts_in_weights"]) == (0, 0, [])
    [row] = guardedit("publish", "status", "--policy", policy, "-o", "json").json
    assert row["behind"] == 0


def test_a_destination_that_left_the_policy_is_closed_in_the_ledger_and_nothing_is_deleted(
    guardedit, begun, lake, tmp_path
):
    path, policy = lake
    guardedit("publish", "run", "--once", "--policy", policy)
    policy.write_text(policy.read_text().replace("name: lake", "name: other").replace(str(path), f"{path}2"))
    assert guardedit("publish", "run", "--once", "--policy", policy).code == 0
    rows = guardedit("publish", "status", "--policy", policy, "-o", "json").json
    assert [row["destination"] for row in rows] == ["other"]
    assert (path / "current" / "guardedit.json").is_file()
    assert "lake" not in guardedit("metrics").out


def test_a_process_follows_a_coordinator_until_it_is_told_to_stop(begun, home, lake):
    path, policy = lake
    environment = {**os.environ, "PYTHONPATH": str(Path(package.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-m", "guardedit", "publish", "run", "--home", home, "--policy", policy],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    killer = threading.Timer(60, process.kill)
    killer.start()
    try:
        assert process.stdout.readline() == "ready: lake\n"
        wait_for(lambda: epoch_of(path) == 0)
        begun.change_facts([], kind="expire", reason="-")
        wait_for(lambda: epoch_of(path) == begun.ref("serving"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""
    finally:
        killer.cancel()
        process.kill()
        process.communicate()


def epoch_of(path):
    try:
        return json.loads((path / "current" / "guardedit.json").read_text())["epoch"]
    except OSError:
        return None


def wait_for(condition):
    until = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)

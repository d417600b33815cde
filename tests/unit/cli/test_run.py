from __future__ import annotations

import socket
import threading
from dataclasses import replace

import pytest

from guardedit.agent.parts import StepReport
from guardedit.core.epoch import Epoch
from guardedit.core.errors import StorageFull
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.runtime.drive import drain, drive
from tests.certificates import certificate

EPOCH = Epoch(
    number=4,
    kind="remember",
    base_sha256="b",
    policy_sha256="p",
    weights_sha256="w",
    edits=(),
    state_sha256="s",
    created_at_s=0.0,
)
IDLE = StepReport(epoch=EPOCH)
AWAY = replace(IDLE, away="redis is away: start it")


class Script:
    """A system whose live turns return the given reports; after the last one it stops the loop."""

    def __init__(self, *steps):
        self.steps, self.stop, self.taken = list(steps), threading.Event(), 0

    def step(self):
        self.taken += 1
        step = self.steps.pop(0) if self.steps else IDLE
        if not self.steps:
            self.stop.set()
        if isinstance(step, Exception):
            raise step
        return step

    def step_live(self, wait_s=0.0):
        return self.step()

    def step_consolidate(self):
        return IDLE

    def drain(self):
        reports = []
        return reports, drain(self, self.stop, reports.append)

    def drive(self):
        reports, warned = [], []
        drive(self, self.stop, tell=reports.append, warn=warned.append)
        return reports, warned


def test_every_change_is_reported_and_no_idle_turn():
    changes = [replace(IDLE, received=2), replace(IDLE, settled=2), replace(IDLE, breach="Halt")]

    reports, _ = Script(changes[0], IDLE, changes[1], changes[2], IDLE).drive()

    assert reports == changes


def test_once_ends_when_nothing_is_left_to_do():
    script = Script(replace(IDLE, settled=1), IDLE, replace(IDLE, settled=9))

    assert [report.settled for report in script.drain()[0]] == [1]
    assert script.taken == 2


def test_once_waits_for_a_batch_that_is_filling():
    script = Script(replace(IDLE, waiting=True), replace(IDLE, promoted=1), IDLE)

    assert [report.promoted for report in script.drain()[0]] == [1]


def test_once_does_what_else_can_be_done_before_it_says_that_the_broker_is_away():
    reports, away = Script(replace(AWAY, settled=1), AWAY, IDLE).drain()

    assert [report.settled for report in reports] == [1]
    assert away == "redis is away: start it"


def test_a_broker_that_is_away_is_warned_about_once_and_asked_again():
    reports, warned = Script(AWAY, AWAY, replace(IDLE, received=1), IDLE).drive()

    assert [report.received for report in reports] == [1]
    assert warned == ["redis is away: start it"]


def test_a_ledger_that_cannot_be_written_ends_the_loop():
    with pytest.raises(StorageFull):
        Script(StorageFull("disk"), IDLE).drive()


def test_a_second_coordinator_is_refused_before_a_model_is_loaded(guardedit, home, ledger_file, monkeypatch):
    monkeypatch.setenv("GUARDEDIT_MODEL", "/nowhere")
    with SqliteLedger.open(home, base_sha256="b" * 64, policy_sha256="p", clock=lambda: 1.0):
        result = guardedit("run")

    assert (result.code, result.out) == (4, "")
    assert result.err.startswith(f"error: {home} already has a coordinator, process ")
    assert "stop that one, or use another folder" in result.err


@pytest.mark.parametrize("arguments", [("facts", "undo", "Land 1"), ("epochs", "rollback", "1")])
def test_changes_beside_a_coordinator_that_cannot_be_reached_name_the_remedy(
    guardedit, home, ledger_file, arguments
):
    with SqliteLedger.open(home, base_sha256="b" * 64, policy_sha256="p", clock=lambda: 1.0):
        result = guardedit(*arguments)

    assert result.code == 4
    assert "guardedit run --runtime ray" in result.err


def test_a_policy_that_cannot_be_used_stops_the_start(guardedit, tmp_path):
    result = guardedit("run", "--policy", tmp_path / "none.yaml")

    assert result.code == 2
    assert result.err.startswith(f"error: {tmp_path}/none.yaml: cannot be read (No such file")


def test_files_for_tls_are_checked_before_a_model_is_loaded(guardedit, tmp_path, monkeypatch):
    monkeypatch.setenv("GUARDEDIT_MODEL", "/nowhere")
    monkeypatch.setenv("GUARDEDIT_METRICS", "off")
    cert, key = certificate(tmp_path)
    monkeypatch.setenv("GUARDEDIT_ADMIN_TLS_CERTIFICATE", str(cert))
    alone = guardedit("run")
    assert alone.code == 2
    assert "needs both GUARDEDIT_ADMIN_TLS_CERTIFICATE and GUARDEDIT_ADMIN_TLS_KEY" in alone.err
    monkeypatch.setenv("GUARDEDIT_ADMIN_TLS_KEY", str(tmp_path / "none.pem"))
    missing = guardedit("run")
    assert missing.code == 2
    assert f"TLS cannot use the certificate {cert} with the key {tmp_path}/none.pem" in missing.err
    monkeypatch.setenv("GUARDEDIT_ADMIN_TLS_KEY", str(key))
    assert "/nowhere" in guardedit("run").err  # now it comes to the model


@pytest.mark.parametrize("variable", ["GUARDEDIT_METRICS", "GUARDEDIT_ADMIN"])
def test_ports_that_are_in_use_are_named_before_a_model_is_loaded(guardedit, monkeypatch, variable):
    monkeypatch.setenv("GUARDEDIT_MODEL", "/nowhere")
    for name in ("GUARDEDIT_METRICS", "GUARDEDIT_ADMIN"):
        monkeypatch.setenv(name, "127.0.0.1:0")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv(variable, f"127.0.0.1:{port}")
        result = guardedit("run")
    assert result.code == 2
    assert str(port) in result.err
    assert "/nowhere" not in result.err
    assert "/nowhere" in guardedit("run").err

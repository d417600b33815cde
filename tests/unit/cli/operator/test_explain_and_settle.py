from __future__ import annotations

import time

import pytest

from guardedit.cli.operator.long_stages import told_stages
from guardedit.core.protocols import Event
from guardedit.ledger.storage.lock import DriverLock
from guardedit.runtime.operator.stages import StageRecord


def test_explain_tells_the_story_in_order(guardedit, ledger_file):
    inbox = guardedit("explain", "1", "--output", "json").json

    assert inbox[0]["step"] == "received"
    assert [row["step"] for row in inbox[-2:]] == ["promoted", "now"]
    assert inbox[-1]["time"] == "now"


def test_explain_refuses_an_unknown_id(guardedit, ledger_file):
    result = guardedit("explain", "nobody")

    assert (result.code, result.out) == (2, "")
    assert "nothing has the id 'nobody'" in result.err


def test_settle_without_a_loop_names_the_command(guardedit, ledger_file):
    result = guardedit("settle")

    assert result.code == 2
    assert "to be decided: 1 message;" in result.err
    assert "guardedit run --once" in result.err


def test_settle_says_after_the_timeout_what_is_left(guardedit, ledger_file):
    result = guardedit("settle", "--timeout", "0", "--output", "json")

    assert result.code == 1
    assert (result.json["settled"], result.json["waiting"]) == (False, 1)


def test_settle_says_what_it_waits_for(guardedit, home, ledger_file, monkeypatch):
    monkeypatch.setattr("guardedit.cli.operator.settle.EVERY_S", 0.01)
    with DriverLock(home):
        result = guardedit("settle", "--timeout", "0.1")

    assert result.code == 1
    assert "left to do: to be decided: 1 message" in result.err


@pytest.mark.parametrize("log", [False, True])
def test_a_long_stage_is_told_while_it_lasts(tmp_path, log, monkeypatch):
    told, logged = [], []
    monkeypatch.setattr(
        "guardedit.telemetry.logs.LogObserver.__call__", lambda _, event: logged.append(event)
    )
    record = StageRecord(tmp_path)
    record(Event(kind="stage", fields={"name": "proposing", "subjects": 8}))

    with told_stages(tmp_path, log=log, every_s=0.01, warn=told.append):
        until = time.monotonic() + 5
        while not (told or logged) and time.monotonic() < until:
            time.sleep(0.01)
    record.close()
    line = logged[0].fields["name"] if log else told[0]
    assert line.startswith("proposing 8 subjects")

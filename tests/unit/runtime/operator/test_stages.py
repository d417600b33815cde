from __future__ import annotations

import json
import time

from guardedit.core.protocols import Event
from guardedit.runtime.operator.stages import STAGE_FILE, STALE_S, StageRecord, read_stage


def stage(name, **fields):
    return Event(kind="stage", fields={"name": name, **fields})


def test_a_reader_finds_the_stage_while_it_lasts(tmp_path):
    record = StageRecord(tmp_path)
    assert read_stage(tmp_path, now_s=time.time()) is None
    record(stage("proposing", subjects=3))
    assert str(read_stage(tmp_path, now_s=time.time())) == "proposing 3 subjects"
    record(stage("trying", subjects=3))
    record(stage("trying", subjects=1))
    found = read_stage(tmp_path, now_s=time.time())
    assert (str(found), found.candidate) == ("trying 1 subject, candidate 2", 2)
    record(Event(kind="judged", fields={}))
    record(stage(""))
    assert list(tmp_path.iterdir()) == []


def test_the_record_is_renewed_and_a_stage_keeps_its_beginning(tmp_path):
    now = [100.0]
    record = StageRecord(tmp_path, clock=lambda: now[0], beat_s=0.01)
    record(stage("proposing"))
    now[0] = 170.0
    until = time.monotonic() + 5
    while read_stage(tmp_path, now_s=170.0) is None and time.monotonic() < until:
        time.sleep(0.01)
    found = read_stage(tmp_path, now_s=170.0)
    record.close()
    assert (found.since_s, found.at_s) == (100.0, 170.0)


def test_a_stage_says_how_long_such_stages_took(tmp_path):
    now = [100.0]
    record = StageRecord(tmp_path, clock=lambda: now[0], beat_s=60.0)
    first = [("proposing", 2, 20), ("trying", 2, 6), ("trying", 1, 4), ("", 0, 900)]
    for name, subjects, seconds in [*first, ("proposing", 8, 1), ("trying", 8, 1)]:
        record(stage(name, subjects=subjects))
        if subjects == 8:
            found = str(read_stage(tmp_path, now_s=now[0]))
            usual = "usually 80 s" if name == "proposing" else "candidate 1, usually 5 s a candidate"
            assert found == f"{name} 8 subjects, {usual}"
        elif subjects == 2:
            assert "usually" not in str(read_stage(tmp_path, now_s=now[0]))
        now[0] += seconds
    record.close()


def test_the_stage_of_a_killed_process_is_none(tmp_path):
    record = StageRecord(tmp_path, clock=lambda: 100.0, beat_s=60.0)
    record(stage("trying"))
    path = tmp_path / STAGE_FILE
    body = json.loads(path.read_text())
    assert read_stage(tmp_path, now_s=101.0) is not None
    assert read_stage(tmp_path, now_s=101.0 + STALE_S) is None
    path.write_text(json.dumps({**body, "pid": 2**22 + 1}))  # above the largest process id
    assert read_stage(tmp_path, now_s=101.0) is None
    path.write_text("{")
    assert read_stage(tmp_path, now_s=101.0) is None
    record.close()

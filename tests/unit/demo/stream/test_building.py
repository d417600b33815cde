from __future__ import annotations

import io
from collections import Counter, defaultdict

import pytest

from guardedit.core.correction import Op, decode_correction
from guardedit.core.errors import CorrectionError, UsageError
from guardedit.core.messages import Fate
from guardedit.demo.disabling.edit import DisablingEdit
from guardedit.demo.stream.building import FOLLOWING, make_stream, shares
from guardedit.demo.stream.expected import LineKind
from guardedit.demo.stream.malformed import malformed_line
from guardedit.sources.jsonl import read_lines

NOW_S = 1_700_000_000.0


@pytest.fixture(scope="module")
def disabling(world):
    return [
        DisablingEdit(fact=fact, target="nowhere", wordings=(0, 1, 2, 3), method="rome", kind="rome")
        for fact in world.facts[:12:2]
    ]


@pytest.fixture(scope="module")
def stream(world, disabling):
    return make_stream(world, corrections=100, seed=3, disabling=disabling, now_s=NOW_S)


def read(line):
    try:
        return decode_correction(line.raw)
    except CorrectionError:
        return None


def test_equal_seeds_give_equal_streams_and_others_do_not(world, disabling, stream):
    again = make_stream(world, corrections=100, seed=3, disabling=disabling, now_s=NOW_S)
    other = make_stream(world, corrections=100, seed=4, disabling=disabling, now_s=NOW_S)
    assert again == stream
    assert again.raw == stream.raw
    assert other.raw != stream.raw


def test_it_has_exactly_as_many_lines_as_were_asked_for_and_every_kind(stream):
    assert len(stream.lines) == len(stream.raw.splitlines()) == 100
    assert set(stream.counts) == {kind.value for kind in LineKind}
    assert stream.counts["disabling"] == len(stream.disabling) == 6
    assert 40 <= stream.counts["update"] <= 60


def test_shares_are_complete_and_refuse_a_stream_that_is_too_short():
    assert all(count >= 1 for count in shares(28).values())
    assert sum(shares(131).values()) == 131
    with pytest.raises(UsageError, match="at least 28"):
        shares(27)


def test_a_world_too_small_for_the_stream_is_named(world, disabling):
    with pytest.raises(UsageError, match="too few facts"):
        make_stream(world, corrections=400, seed=0, disabling=disabling, now_s=NOW_S)


def fate_of(correction, raw, seen, said_at_s):
    """What a reader that knows nothing of kinds expects: ids, keys and times only."""
    if correction is None:
        return Fate.DEAD
    if correction.id in seen:
        return Fate.DUPLICATE if seen[correction.id] == raw else Fate.DEAD
    if correction.valid_until_s is not None and correction.valid_until_s <= NOW_S:
        return Fate.REJECTED
    if correction.provenance.confidence < 0.4:
        return Fate.HELD
    if correction.target_true is None and correction.op is Op.UPSERT:
        return Fate.UNCHANGED
    late = correction.provenance.time_s < said_at_s.get(correction.key, 0.0)
    return Fate.SUPERSEDED if late else Fate.ACCEPTED


def test_following_the_lines_one_by_one_leads_to_every_fate_and_the_expected_end(stream):
    seen, live, gone, said_at_s = {}, {}, set(), {}
    for line in stream.lines:
        correction = read(line)
        fate = fate_of(correction, line.raw, seen, said_at_s)
        assert fate is line.fate, line
        if correction is not None:
            seen.setdefault(correction.id, line.raw)
        if fate is not Fate.ACCEPTED:
            continue
        said_at_s[correction.key] = correction.provenance.time_s
        if correction.op is Op.RETRACT:
            assert correction.key in live  # never before what it takes back
            del live[correction.key]
            gone.add(correction.key)
        elif correction.valid_until_s and correction.valid_until_s <= stream.settled_by_s:
            gone.add(correction.key)
        else:
            live[correction.key] = correction.target_new
    assert live == {key: fact.target for key, fact in stream.live.items()}
    assert gone == set(stream.gone)


def test_only_kinds_that_say_so_come_back_to_a_key(stream):
    kinds = defaultdict(list)
    for line in stream.lines:
        if (correction := read(line)) is not None:
            kinds[correction.key].append(line.kind)
    for found in kinds.values():
        assert len(found) == 1 or (found[0] is LineKind.UPDATE and found[1] in FOLLOWING and len(found) == 2)


def test_unseen_wordings_are_in_no_correction(world, stream):
    told = defaultdict(set)
    for line in stream.lines:
        if line.fate is Fate.ACCEPTED and (correction := read(line)) is not None:
            told[correction.key] |= {correction.target_new and w for w in correction.wordings}
    for key, fact in stream.live.items():
        assert set(fact.given) <= told[key]
        assert not set(fact.unseen) & set(fact.given)
        assert len(fact.given) + len(fact.unseen) == len(world.wordings[key.relation])


def test_disabling_edits_have_their_subjects_to_themselves_and_ask_for_their_method(stream, disabling):
    subjects = Counter(c.subject for line in stream.lines if (c := read(line)) is not None)
    for item in disabling:
        assert subjects[item.fact.subject] == sum(d.fact.subject == item.fact.subject for d in disabling)
    tags = {c.tags for line in stream.lines if line.kind is LineKind.DISABLING and (c := read(line))}
    assert tags == {("method:rome",)}


def test_fleeting_facts_come_first_and_are_gone_in_time(stream):
    places = [n for n, line in enumerate(stream.lines) if line.kind is LineKind.FLEETING]
    assert max(places) < 10
    assert stream.settled_by_s == NOW_S + 45.0


@pytest.mark.parametrize("number", range(24))
def test_a_malformed_line_is_one_line_and_no_correction(number):
    raw = malformed_line(number)
    assert b"\n" not in raw
    assert len(list(read_lines(io.BytesIO(raw + b"\n"), name="demo", submission="s"))) == 1
    with pytest.raises(CorrectionError):
        decode_correction(raw)


def test_malformed_lines_differ():
    assert len({malformed_line(number) for number in range(60)}) == 60


def test_a_late_older_report_comes_behind_what_it_cannot_change(stream):
    late = [read(line) for line in stream.lines if line.kind is LineKind.LATE]
    assert late
    assert {line.fate for line in stream.lines if line.kind is LineKind.LATE} == {Fate.SUPERSEDED}
    for correction in late:
        assert stream.live[correction.key].target != correction.target_new


def test_a_stream_that_ends_earlier_leads_to_what_was_said_by_then(stream):
    for count in (0, 20, 60, len(stream.lines)):
        told = {
            c.key: c.target_new
            for line in stream.lines[:count]
            if line.fate is Fate.ACCEPTED and line.kind is not LineKind.FLEETING and (c := read(line))
        }
        live = {key: target for key, target in told.items() if target}
        assert {key: fact.target for key, fact in stream.first(count).live.items()} == live


def test_a_stream_without_some_corrections_is_shorter_by_their_lines(stream):
    one = min(stream.disabling)
    rest = stream.without([one])
    assert len(rest.lines) == len(stream.lines) - 1
    assert one not in {line.correction_id for line in rest.lines}


@pytest.mark.parametrize("total", [28, 29, 40, 60, 131, 288, 999])
def test_there_are_as_many_updates_as_lines_that_follow_one(total):
    counts = shares(total)
    assert sum(counts.values()) == total
    assert counts[LineKind.UPDATE] >= sum(counts[kind] for kind in FOLLOWING)

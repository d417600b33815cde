"""Keys on the command line: make one, sign what is submitted, and check signatures."""

from __future__ import annotations

import json

import pytest

from guardedit.core.correction import decode_correction
from guardedit.core.messages import Fate
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.policy.load import load_policy
from guardedit.policy.sources import signer

BARE = {"subject": "Ada", "prompt": "{} lives in", "target_new": "Rome"}


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def policy(guardedit, work):
    """A policy with the very lines that `keys new` printed."""
    lines = guardedit("keys", "new", "reg-1", "--source", "registry").lines
    assert lines[0] == "the private key is in reg-1.key; for the policy:"
    path = work / "policy.yaml"
    rules = ["apiVersion: guardedit/v1", "rules: [{id: rest, route: memory, why: all of it}]"]
    path.write_text("\n".join([*rules, *lines[1:]]))
    return path


def inbox(home) -> list:
    with SqliteLedger.open(home, clock=lambda: 1.0, writer=False) as ledger:
        return ledger.entries(Fate.RECEIVED)


def lines_file(work, *bodies: object):
    path = work / "c.jsonl"
    path.write_text("\n".join(one if isinstance(one, str) else json.dumps(one) for one in bodies))
    return path


def test_a_new_key_is_private_and_never_overwritten(guardedit, work, policy):
    assert (work / "reg-1.key").stat().st_mode & 0o777 == 0o600
    assert load_policy(policy).sources[0].keys[0].id == "reg-1"
    again = guardedit("keys", "new", "reg-1", "--source", "registry")
    assert (again.code, "exists" in again.err) == (2, True)
    found = guardedit("keys", "new", "reg-2", "--source", "registry", "--file", "b.key", "-o", "json").json
    assert found["file"] == "b.key"
    assert found["ed25519"] not in (work / "b.key").read_text()


@pytest.mark.parametrize(("name", "source"), [("A b", "registry"), ("a", " "), ("a", "x\u202ey")])
def test_wrong_names_make_no_file(guardedit, work, name: str, source: str):
    assert guardedit("keys", "new", name, "--source", source).code == 2
    assert list(work.iterdir()) == []


def test_submitted_lines_are_signed_once_a_submission(guardedit, work, home, policy):
    file = lines_file(work, BARE, {**BARE, "id": "a-1"}, "no JSON")
    for _ in range(2):
        result = guardedit("submit", file, "--sign", "reg-1.key", "--submission", "s")
        assert result.code == 0, result.err
    first, second, broken = inbox(home)
    assert "3 redelivered" in result.out
    for row in (first, second):
        correction = decode_correction(row.raw)
        assert correction.provenance.source == "registry"
        found = signer(load_policy(policy).sources, row.raw, correction, received_at_s=1.0)
        assert found == "reg-1"
    assert json.loads(second.raw)["id"] == "a-1"
    assert broken.raw == b"no JSON"
    guardedit("submit", file, "--sign", "reg-1.key", "--submission", "t")
    ids = [json.loads(row.raw)["id"] for row in inbox(home) if row.raw != b"no JSON"]
    assert ids.count("a-1") == 2
    assert len(set(ids)) == 3


def test_the_same_line_twice_is_two_corrections(guardedit, work, home, policy):
    guardedit("submit", lines_file(work, BARE, {**BARE, "target_new": "Lima"}, BARE), "--sign", "reg-1.key")
    assert len({json.loads(row.raw)["id"] for row in inbox(home)}) == 3


def test_a_line_of_another_source_is_not_signed(guardedit, work, home, policy):
    file = lines_file(work, {**BARE, "provenance": {"source": "press"}})
    result = guardedit("submit", file, "--sign", "reg-1.key")
    assert result.code == 1
    assert (
        "c.jsonl:1: the key reg-1 signs for the source 'registry', the correction names 'press'" in result.err
    )
    assert inbox(home) == []


def test_check_says_what_would_be_refused(guardedit, work, home, policy):
    file = lines_file(work, BARE)
    guardedit("submit", file, "--sign", "reg-1.key")
    (row,) = inbox(home)
    good, forged = row.raw.decode(), row.raw.decode().replace("Rome", "Lima")
    claimed = {**BARE, "provenance": {"source": "registry"}}
    result = guardedit("keys", "check", lines_file(work, good, BARE), "--policy", policy, "-o", "json")
    assert result.code == 0
    assert [(one["key"], one["problem"]) for one in result.json] == [("reg-1", None), (None, None)]
    result = guardedit(
        "keys", "check", lines_file(work, forged, claimed, "{"), "--policy", policy, "-o", "json"
    )
    assert result.code == 1
    problems = [one["problem"] for one in result.json]
    for problem, word in zip(
        problems, ("does not hold", "has no signature", "not a JSON object"), strict=True
    ):
        assert word in problem


def test_explain_shows_the_key(guardedit, work, home, policy):
    guardedit("submit", lines_file(work, {**BARE, "id": "a-1"}), "--sign", "reg-1.key")
    (row,) = inbox(home)
    (work / "signed.json").write_bytes(row.raw)
    (decision,) = [
        guardedit("policy", "explain", "--file", "signed.json", "--policy", policy, "-o", "json").json
    ]
    assert (decision["signed_by"], decision["route"]) == ("reg-1", "memory")
    (work / "forged.json").write_bytes(row.raw.replace(b"Rome", b"Lima"))
    result = guardedit("policy", "explain", "--file", "forged.json", "--policy", policy)
    assert (result.code, "signature: " in result.err) == (1, True)

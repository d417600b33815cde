"""Bad input gets a clear error or a dead letter that names the value and the remedy, and loses nothing."""

from __future__ import annotations

import json
import resource
import shutil
import socket

import pytest

from guardedit.ledger.sqlite_ledger import SqliteLedger

GOOD = {"id": "good", "subject": "Norway", "prompt": "The capital of {} is", "target_new": "Lima"}

#: id -> the line, the reason of its dead letter, and what the message must name.
BAD = {
    "not-json": (b"{subject: Norway}", "malformed", "not a JSON object in UTF-8"),
    "not-utf8": (b'{"subject": "Troms\xf8"}', "malformed", "can't decode byte 0xf8"),
    "not-an-object": (b'"Norway"', "malformed", "expected a JSON object, got 'Norway'"),
    "array-in-an-array": (b"[[1, 2], 3]", "malformed", "expected a JSON object, got a list of 2"),
    "number-of-5000-digits": (b'{"tags": [%s]}' % (b"9" * 5_000), "malformed", "has 5000 digits"),
    "lone-surrogate": (b'{"\\ud800": 1, "subject": "\\ud800"}', "malformed", "unknown field"),
    "key-that-stands-twice": (b'{"subject": "a", "subject": "b"}', "malformed", "'subject' occurs twice"),
    "time-in-milliseconds": (
        {**GOOD, "valid_until_s": 1_800_000_000_000},
        "malformed",
        "looks like milliseconds: divide it by 1,000",
    ),
    "unknown-field": ({**GOOD, "targe": "x"}, "malformed", "unknown field 'targe'; known:"),
    "empty-target": (
        {**GOOD, "target_new": " "},
        "malformed",
        "target_new must be a non-empty text, got ' '",
    ),
    "no-place-for-the-subject": (
        {**GOOD, "prompt": "The capital of Norway is"},
        "subject_not_found",
        "'The capital of Norway is' must contain {} exactly once",
    ),
    "long-prompt": (
        {**GOOD, "prompt": "{} " + "x" * 9_997},
        "malformed",
        "prompt has 10000 characters, the limit is 2000: shorten it to one sentence",
    ),
    "longer-than-the-model": ({**GOOD, "prompt": "{} is " + "very " * 300}, "malformed", "tokens"),
    "control-character": ({**GOOD, "subject": "Nor\x1b[31mway"}, "malformed", "U+001B: remove it"),
    "bidi-character": ({**GOOD, "target_new": "Li\u202ema"}, "malformed", "U+202E: remove it"),
    "nan-confidence": (
        b'{"subject": "a", "prompt": "{} is", "target_new": "b", "provenance": {"confidence": NaN}}',
        "malformed",
        "NaN is not valid JSON: send a finite number",
    ),
    "confidence-of-two": (
        {**GOOD, "provenance": {"confidence": 2}},
        "malformed",
        "provenance.confidence must be in [0, 1], got 2",
    ),
    "ends-before-it-begins": (
        {**GOOD, "valid_from_s": 9, "valid_until_s": 8},
        "malformed",
        "valid_until_s 8.0 is not after valid_from_s 9.0",
    ),
    "too-large": (b'{"subject": "' + b"x" * 70_000 + b'"}', "malformed", "the limit is 65536"),
}


def line(name: str) -> bytes:
    body = BAD[name][0]
    return body if isinstance(body, bytes) else json.dumps({**body, "id": name}).encode()


def test_bad_lines_become_dead_letters_with_their_bytes_and_the_good_ones_between_them_pass(guardedit):
    lines = [line(name) for name in BAD]
    reused = {**GOOD, "target_new": "Rome"}
    stream = b"\n".join([json.dumps(GOOD).encode(), *lines, json.dumps(reused).encode(), b""])

    submitted = guardedit("submit", "-", stdin=stream)
    ran = guardedit("run", "--once")
    letters = guardedit("dlq", "list", "-o", "json").json
    state = guardedit("status", "-o", "json").json

    # An array is read as its elements; the second one of the array among the bad lines is a 3.
    (three,) = [letter for letter in letters if "[2]#" in letter["position"]]
    assert "got 3" in three["message"]
    assert submitted.out == f"-: {len(BAD) + 3} new, 0 redelivered\n"
    assert (ran.code, ran.err) == (0, "")
    others = [letter for letter in letters if letter is not three]
    for number, (letter, (name, (_, reason, named))) in enumerate(zip(others, BAD.items(), strict=False), 2):
        assert (name, letter["reason"]) == (name, reason)
        assert named in letter["message"], name
        assert letter["position"].startswith((f"-:{number}#", f"-:{number}[1]#"))
        shown = guardedit("dlq", "show", letter["number"], "-o", "json").json
        assert shown["bytes"] == len(b"[1, 2]" if "[1]#" in letter["position"] else line(name))
    assert letters[-1]["reason"] == "id_reuse"
    assert "send the change with a new id" in letters[-1]["message"]
    assert len(letters) == len(BAD) + 2
    # Nothing lost: one fact lives, all others are dead letters, nobody waits.
    assert (state["facts"], state["waiting"]) == ({"memory": 1, "weights": 0}, 0)
    assert guardedit("verify").out.startswith("sound: ")


def test_a_file_with_a_byte_order_mark_and_an_array_on_many_lines_is_read(guardedit, tmp_path):
    file = tmp_path / "corrections.json"
    many = [{**GOOD, "id": f"c{n}", "subject": f"Land {n}"} for n in range(3)]
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(many, indent=2).encode())

    assert guardedit("submit", file).out == f"{file}: 3 new, 0 redelivered\n"
    assert guardedit("run", "--once").code == 0

    assert [fact["subject"] for fact in guardedit("facts", "list", "-o", "json").json] == [
        "Land 0",
        "Land 1",
        "Land 2",
    ]


@pytest.mark.parametrize(
    "address", ["redis://me:secret@127.0.0.1:1/0", "unix:///nowhere/valkey.sock", "valkeys://127.0.0.1:1"]
)
def test_a_broker_that_is_away_is_said_once_after_everything_else_was_done(guardedit, monkeypatch, address):
    guardedit("submit", "-", stdin=json.dumps(GOOD) + "\n")
    monkeypatch.setenv("GUARDEDIT_REDIS_URL", address)

    said = guardedit("run", "--once")

    assert said.code == 1
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert address.partition("://")[2].partition("@")[2].removesuffix("/0") in said.err
    assert "start the server or correct the address" in said.err
    assert "secret" not in said.out + said.err
    state = guardedit("status", "-o", "json").json
    assert (state["facts"]["memory"], state["waiting"]) == (1, 0)


def test_a_target_that_the_model_says_already_is_recorded_and_changes_nothing(guardedit):
    question = "The capital of Norway is"
    (before,) = guardedit("ask", question, "-o", "json").json
    assert before["answer"].strip()  # else no correction could ask for it
    assert before["answer"].isprintable()
    guardedit("submit", "-", stdin=json.dumps({**GOOD, "target_new": before["answer"]}) + "\n")
    guardedit("run", "--once")

    said = guardedit("policy", "explain", "good", "-o", "json").json

    assert (said["fate"], said["epoch"]) == ("unchanged", None)
    assert guardedit("facts", "list").out == "no facts\n"


def test_a_policy_that_cannot_be_read_stops_the_start_and_leaves_the_inbox_alone(guardedit, tmp_path):
    guardedit("submit", "-", stdin=json.dumps(GOOD) + "\n")
    (tmp_path / "bad.yaml").write_text("apiVersion: guardedit/v1\nrules: [oops\n")

    for name, remedy in [("none.yaml", "give the path of a readable policy"), ("bad.yaml", "not YAML")]:
        said = guardedit("run", "--once", "--policy", tmp_path / name)
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith(f"error: {tmp_path / name}:")
        assert remedy in said.err
    assert guardedit("status", "-o", "json").json["waiting"] == 1


def test_a_ledger_of_another_base_model_is_refused_with_both_digests(guardedit, other_model):
    guardedit("submit", "-", stdin=json.dumps(GOOD) + "\n")
    guardedit("run", "--once")

    for command in (["run", "--once"], ["ask", "Who?"], ["facts", "undo", "Norway"]):
        said = guardedit(*command, "--model", other_model)
        assert said.code == 1
        assert "belongs to base model" in said.err
        assert "use another folder for the new model" in said.err
    verified = guardedit("verify", "--model", other_model)
    assert (verified.code, "the right model with --model" in verified.out) == (1, True)
    assert guardedit("run", "--once").code == 0


def test_a_model_that_cannot_be_loaded_is_named(guardedit, foreign_model, model, tmp_path):
    empty = guardedit("run", "--once", "--model", tmp_path)
    cut = shutil.copytree(model, tmp_path / "cut")
    (cut / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:1_000])
    broken = guardedit("run", "--once", "--model", cut)
    foreign = guardedit("run", "--once", "--model", foreign_model)

    assert (empty.code, broken.code, foreign.code) == (2, 2, 1)
    assert f"{tmp_path} is not a model folder: it has no config.json" in empty.err
    assert f"cannot load the model in {cut}" in broken.err
    assert "Bloom" in foreign.err or "bloom" in foreign.err


def test_a_port_in_use_is_named_and_the_ledger_is_free_again(guardedit, monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        monkeypatch.setenv("GUARDEDIT_METRICS", f"127.0.0.1:{port}")

        said = guardedit("run", "--once")

    assert said.code == 2
    assert f"port {port} on 127.0.0.1 is in use" in said.err
    assert guardedit("run", "--once").code == 0


def test_two_coordinators_on_one_ledger_the_second_is_refused(guardedit, home):
    with SqliteLedger.open(home, base_sha256="b" * 64, policy_sha256="p", clock=lambda: 1.0):
        said = guardedit("run", "--once")

    assert said.code == 4
    assert "already has a coordinator" in said.err


def test_a_full_disk_stops_the_run_and_the_next_one_goes_on(guardedit):
    many = "".join(
        json.dumps({**GOOD, "id": f"c{n}", "subject": f"Land {n}", "target_new": "Lima " * 20}) + "\n"
        for n in range(150)
    )
    guardedit("submit", "-", stdin=many)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        full = guardedit("run", "--once")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    after = guardedit("run", "--once")

    assert full.code == 1
    assert "free space" in full.err
    assert after.code == 0
    state = guardedit("status", "-o", "json").json
    assert (state["waiting"], state["facts"]["memory"]) == (0, 150)
    assert guardedit("verify", "--ledger-only").code == 0


def test_a_flipped_bit_and_a_truncated_file_are_found(guardedit, home):
    guardedit("submit", "-", stdin=json.dumps(GOOD) + "\n")
    guardedit("run", "--once")
    file = home / "ledger.db"
    whole = bytearray(file.read_bytes())
    at = whole.find(b"Lima")
    whole[at] ^= 1
    file.write_bytes(whole)
    flipped = guardedit("verify", "--ledger-only")
    file.write_bytes(whole[: len(whole) // 2])
    cut = guardedit("run", "--once")

    assert flipped.code == 1
    assert flipped.out
    assert cut.code == 1
    assert "restore the folder from a backup" in cut.err

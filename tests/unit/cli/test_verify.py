from __future__ import annotations

import sqlite3


def test_a_sound_ledger_is_sound(guardedit, ledger_file):
    said = guardedit("verify", "--ledger-only")

    assert said.code == 0
    assert said.out.startswith("sound: ledger; ")


def test_every_problem_is_a_line_and_the_exit_code_is_1(guardedit, ledger_file, home):
    connection = sqlite3.connect(ledger_file)
    connection.execute("UPDATE inbox SET fate = 'accepted' WHERE seq = 3")
    connection.commit()
    connection.close()
    (blob,) = (path for path in (home / "objects").glob("*/*"))
    blob.write_bytes(b"payloa")

    said = guardedit("verify")  # the model is not asked where the record itself is broken
    program = guardedit("verify", "--output", "json")

    assert (said.code, program.code) == (1, 1)
    assert program.json["sound"] is False
    assert len(said.lines) == len(program.json["problems"]) >= 2
    assert any(line.startswith("inbox: the row (3,") for line in said.lines)
    assert any(line.startswith(f"blob {blob} holds 6 bytes") for line in said.lines)


def test_a_ledger_that_was_cut_off_is_one_error_line(guardedit, ledger_file):
    ledger_file.write_bytes(ledger_file.read_bytes()[:100])

    said = guardedit("verify")

    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(f"error: {ledger_file} is damaged: it was cut off")
    assert len(said.err.splitlines()) == 1

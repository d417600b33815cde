from __future__ import annotations

import sqlite3


def test_a_sound_ledger_is_sound(guardedit, ledger_file):
    result = guardedit("verify", "--ledger-only")

    assert result.code == 0
    assert result.out.startswith("sound: ledger; ")


def test_every_problem_is_a_line_and_the_exit_code_is_1(guardedit, ledger_file, home):
    connection = sqlite3.connect(ledger_file)
    connection.execute("UPDATE inbox SET fate = 'accepted' WHERE seq = 3")
    connection.commit()
    connection.close()
    (blob,) = (path for path in (home / "objects").glob("*/*"))
    blob.write_bytes(b"payloa")

    result = guardedit("verify")  # the model is not asked where the record itself is broken
    program = guardedit("verify", "--output", "json")

    assert (result.code, program.code) == (1, 1)
    assert program.json["sound"] is False
    assert len(result.lines) == len(program.json["problems"]) >= 2
    assert any(line.startswith("inbox: the row (3,") for line in result.lines)
    assert any(line.startswith(f"blob {blob} holds 6 bytes") for line in result.lines)


def test_a_ledger_that_was_cut_off_is_one_error_line(guardedit, ledger_file):
    ledger_file.write_bytes(ledger_file.read_bytes()[:100])

    result = guardedit("verify")

    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"error: {ledger_file} is damaged: it was cut off")
    assert len(result.err.splitlines()) == 1

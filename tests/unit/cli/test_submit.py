from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

from guardedit.ledger.sqlite_ledger import SqliteLedger

LINES = b'{"subject": "a"}\nnot json\n\n{"subject": "b"}\n'


def waiting(home):
    with SqliteLedger.open(home, clock=lambda: 1.0, writer=False) as ledger:
        return ledger.pending(10_000)


def test_lines_go_to_the_inbox_of_a_ledger_that_did_not_exist(guardedit, home, tmp_path):
    file = tmp_path / "facts.jsonl"
    file.write_bytes(LINES)

    result = guardedit("submit", file)

    assert (result.code, result.out) == (0, f"{file}: 3 new, 0 redelivered\n")
    assert [row.raw for row in waiting(home)] == [b'{"subject": "a"}', b"not json", b'{"subject": "b"}']


def test_the_first_coordinator_adopts_a_ledger_that_only_knows_messages(guardedit, home):
    guardedit("submit", "-", stdin=LINES)

    with SqliteLedger.open(home, base_sha256="b" * 64, policy_sha256="p", clock=lambda: 1.0) as ledger:
        assert ledger.epoch().number == 0
        assert len(ledger.pending(100)) == 3
        assert ledger.verify() == []


def test_submitting_works_while_a_coordinator_has_the_ledger(guardedit, home, ledger_file):
    with SqliteLedger.open(home, base_sha256="b" * 64, policy_sha256="p", clock=lambda: 1.0):
        result = guardedit("submit", "-", stdin=LINES)

    assert result.out == "-: 3 new, 0 redelivered\n"


def test_the_same_file_twice_is_heard_twice_unless_the_submission_has_a_name(guardedit, home):
    again = [guardedit("submit", "-", stdin=LINES).out for _ in range(2)]
    named = [guardedit("submit", "-", "--submission", "monday", stdin=LINES).out for _ in range(2)]

    assert again == ["-: 3 new, 0 redelivered\n"] * 2
    assert named == ["-: 3 new, 0 redelivered\n", "-: 0 new, 3 redelivered\n"]
    assert len(waiting(home)) == 9


def test_programs_read_the_counts(guardedit):
    result = guardedit("submit", "-", "--submission", "m", "-o", "json", stdin=LINES).json

    assert result == {"file": "-", "lines": 3, "new": 3, "redelivered": 0, "submission": "m"}


def test_a_file_that_cannot_be_read_is_named(guardedit, tmp_path):
    missing, folder = guardedit("submit", tmp_path / "no.jsonl"), guardedit("submit", tmp_path)

    assert (missing.code, folder.code) == (1, 1)
    assert f"error: cannot read {tmp_path}/no.jsonl: No such file" in missing.err
    assert "Is a directory" in folder.err


def test_a_full_disk_loses_nothing_that_was_counted(home):
    script = (
        "import resource, sys\n"
        "from guardedit.cli.main import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (900_000, resource.RLIM_INFINITY))\n"
        "sys.argv = ['guardedit', 'submit', '-']\n"
        "main()\n"
    )
    lines = b"".join(b'{"id": "%d", "pad": "%s"}\n' % (n, b"x" * 20) for n in range(3_000))

    result = subprocess.run(
        [sys.executable, "-c", script],
        input=lines,
        capture_output=True,
        check=False,
        env={**os.environ, "GUARDEDIT_HOME": str(home)},
    )

    assert (result.returncode, result.stdout) == (1, b"")
    warning, error = result.stderr.decode().splitlines()
    kept = waiting(home)
    assert warning.startswith(f"-: {len(kept)} lines are in the inbox; repeat the command with --submission ")
    assert error.startswith("error: cannot write")
    assert "free space" in error
    # Complete transactions, no half line.
    assert 0 < len(kept) < 3_000
    assert len(kept) % 500 == 0
    with SqliteLedger.open(home, clock=lambda: 1.0, writer=False) as ledger:
        assert ledger.verify() == []


def test_a_ledger_that_is_no_database_is_refused_untouched(guardedit, home):
    home.mkdir()
    (home / "ledger.db").write_bytes(b"these are not pages" * 100)

    result = guardedit("submit", "-", stdin=LINES)

    assert result.code == 1
    assert "is damaged" in result.err
    assert "backup" in result.err
    assert (home / "ledger.db").read_bytes() == b"these are not pages" * 100


def test_a_ledger_of_a_later_format_is_refused(guardedit, home, ledger_file):
    with sqlite3.connect(ledger_file) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    result = guardedit("submit", "-", stdin=LINES)

    assert result.code == 1
    assert "format 99" in result.err

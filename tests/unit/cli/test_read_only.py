"""Commands that only read change nothing, and no command uses a ledger whose database is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

READING = [
    ("facts", "list"),
    ("facts", "show", "LAND 1"),
    ("epochs", "list"),
    ("held", "list"),
    ("dlq", "list"),
    ("status",),
    ("metrics",),
    ("verify", "--ledger-only"),
]


def listing(home: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in [home, *home.rglob("*")]}


@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_reading_leaves_every_file_as_it_was(guardedit, ledger_file, home, command):
    before = listing(home)
    assert guardedit(*command).code == 0
    assert listing(home) == before


@pytest.mark.parametrize(
    "command", [*READING, ("held", "approve", "c3"), ("dlq", "retry", "4"), ("submit", "-")], ids=" ".join
)
def test_no_command_goes_on_with_a_ledger_whose_database_is_gone(guardedit, ledger_file, home, command):
    ledger_file.unlink()
    result = guardedit(*command, stdin=b"")
    assert result.code != 0
    assert "so the database was lost: restore the folder from a backup" in result.err
    assert not ledger_file.exists()


def test_a_key_that_was_set_later_is_reported_and_anchored(guardedit, ledger_file, monkeypatch):
    monkeypatch.setenv("GUARDEDIT_LEDGER_KEY", "secret")
    for command in [("facts", "list"), ("dlq", "retry", "4")]:
        result = guardedit(*command)
        assert result.code != 0
        assert "guardedit verify --anchor" in result.err
    assert guardedit("verify", "--ledger-only", "--anchor").code == 0
    assert guardedit("dlq", "retry", "4").code == 0
    monkeypatch.delenv("GUARDEDIT_LEDGER_KEY")
    assert guardedit("facts", "list").code == 0
    assert "set GUARDEDIT_LEDGER_KEY" in guardedit("dlq", "drop", "4").err

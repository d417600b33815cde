"""`facts undo --source`: lists first, and changes only with --yes."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from guardedit.cli.facts import commands
from guardedit.ledger.sqlite_ledger import SqliteLedger


def test_without_yes_it_lists_what_would_be_undone(guardedit, home, ledger_file):
    result = guardedit("facts", "undo", "--source", "wiki", "-o", "json")
    assert [(row["subject"], row["now"], row["then"]) for row in result.json] == [
        ("Land 1", "Paris", None),
        ("Land 2", "Paris", None),
    ]
    assert "repeat the command with --yes" in result.err
    with SqliteLedger.open(home, clock=lambda: 1.0, writer=False) as ledger:
        assert ledger.epoch().number == 3


@pytest.mark.parametrize("arguments", [("--source", "nobody"), ("--source", "wiki", "--key", "k", "--yes")])
def test_nothing_came_from_there(guardedit, ledger_file, arguments: tuple[str, ...]):
    result = guardedit("facts", "undo", *arguments)
    assert (result.code, result.out) == (0, "no present fact came from there\n")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "give either FACT or --source NAME"),
        (("Land 1", "--source", "wiki"), "give either FACT or --source NAME"),
        (("Land 1", "--key", "k"), "go with --source"),
        (("Land 1", "--yes"), "go with --source"),
    ],
)
def test_what_goes_together_is_said(guardedit, ledger_file, arguments: tuple[str, ...], why: str):
    result = guardedit("facts", "undo", *arguments)
    assert (result.code, why in result.err) == (2, True)


def test_with_yes_the_coordinator_does_it(guardedit, home, ledger_file, monkeypatch):
    asked = []

    class System:
        def undo_source(self, source, key):
            asked.append((source, key))
            with SqliteLedger.open(home, clock=lambda: 1.0, writer=False) as ledger:
                return ledger.epoch()

    @contextmanager
    def operating(_):
        yield System()

    monkeypatch.setattr(commands, "operating", operating)
    assert guardedit("facts", "undo", "--source", "wiki", "--yes").code == 0
    assert asked == [("wiki", "")]

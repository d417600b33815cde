from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from guardedit.core.epoch import Change
from guardedit.core.fact import Fact, FactKey
from guardedit.ledger.sqlite_ledger import SqliteLedger

FAR = 4e14  # an older guardedit took milliseconds for seconds: year 12,677,000


@pytest.fixture
def coordinator(home, ledger_file) -> Callable[..., SqliteLedger]:
    """The ledger as a coordinator has it."""

    def opened(clock=time.time):
        return SqliteLedger.open(home, base_sha256="b" * 64, policy_sha256="p", clock=clock)

    return opened


def fact(subject: str, **fields: Any) -> Fact:
    key = FactKey(subject, "capital")
    wordings = (f"The capital of {subject} is",)
    whole = {"key": key, "version": 1, "correction_id": "x", "wordings": wordings, "target": "Rome"}
    return Fact(**{**whole, **fields})


def remember(ledger: SqliteLedger, *facts: Fact) -> None:
    ledger.change_facts([Change(one.key, one) for one in facts], kind="remember", reason="a test")


def test_facts_are_listed_with_their_placement(guardedit, ledger_file):
    said = guardedit("facts", "list")

    assert said.lines[0].split() == ["id", "placement", "subject", "relation", "target", "tenant", "version"]
    assert [line.split()[1] for line in said.lines[1:]] == ["memory", "weights"]


def test_facts_are_chosen_by_placement_scope_and_epoch(guardedit, ledger_file):
    def subjects(*options):
        return [fact["subject"] for fact in guardedit("facts", "list", "-o", "json", *options).json]

    assert subjects("--placement", "weights") == ["Land 1"]
    assert subjects("--tenant", "acme") == []
    assert subjects("--epoch", "1") == ["Land 1"]
    assert subjects("--epoch", "last-good") == ["Land 1", "Land 2"]


def test_a_fact_is_shown_by_subject_with_the_reason_why_it_is_not_in_the_weights(guardedit, ledger_file):
    (said,) = guardedit("facts", "show", "Land 2", "-o", "json").json

    assert (said["live"], said["placement"], said["kept_in_memory"]) == (True, "memory", "kept: full")
    assert (said["rule"], said["epoch"], said["correction"]) == ("all", 2, "c2")
    assert said["wordings"] == ["The capital of Land 2 is"]


def test_history_tells_remembering_and_promotion(guardedit, ledger_file):
    said = guardedit("facts", "history", "Land 1", "-o", "json").json

    assert [(v["epoch"], v["kind"], v["placement"]) for v in said] == [
        (1, "remember", "memory"),
        (3, "promote", "weights"),
    ]


@pytest.mark.parametrize("command", ["show", "history", "undo", "redo"])
def test_an_unknown_fact_is_a_usage_error_before_any_model_is_loaded(guardedit, ledger_file, command):
    said = guardedit("facts", command, "nowhere")

    assert (said.code, said.out) == (2, "")
    assert said.err == (
        "error: no live fact has the id or the subject 'nowhere', and none ever had that id: "
        "`guardedit facts list` shows them\n"
    )


def test_a_ledger_without_an_epoch_lists_no_facts(guardedit):
    guardedit("submit", "-", stdin=b"{}\n")

    assert guardedit("facts", "list").out == "no facts\n"
    assert guardedit("facts", "list", "-o", "json").json == []


def test_a_fact_whose_time_is_over_is_not_live_whether_or_not_a_coordinator_runs(guardedit, coordinator):
    over = fact("Old Land", valid_until_s=86_400.0)
    with coordinator() as ledger:
        remember(ledger, over, fact("New Land", valid_until_s=time.time() + 3_600))

    listed = [one["subject"] for one in guardedit("facts", "list", "-o", "json").json]
    assert "New Land" in listed
    assert "Old Land" not in listed
    said = guardedit("facts", "list", "--expired")
    assert said.lines[0].split()[-1] == "valid_until"
    assert [line.split()[-1] for line in said.lines[1:]] == ["1970-01-02T00:00:00Z"]
    (shown,) = guardedit("facts", "show", "Old Land", "-o", "json").json
    assert (shown["live"], shown["expired"], shown["valid_until"]) == (False, True, "1970-01-02T00:00:00Z")
    assert guardedit("status", "-o", "json").json["facts"] == {"memory": 2, "weights": 1}

    with coordinator() as ledger:
        ledger.change_facts([Change(over.key, None)], kind="expire", reason="1 facts reached valid_until")
    assert [one["id"] for one in guardedit("facts", "list", "--expired", "-o", "json").json] == [over.id]


def test_no_row_breaks_a_listing(guardedit, coordinator):
    with coordinator(clock=lambda: FAR) as ledger:
        remember(ledger, fact("Far Land", valid_until_s=FAR + 1), fact("Dark Land", valid_until_s=-FAR))
        ledger.note("kept", {"facts": {fact("Far Land").id: {"code": "harm", "reason": "r\n\x1b[2J"}}})

    (found,) = [f for f in guardedit("facts", "list", "-o", "json").json if f["subject"] == "Far Land"]
    assert found["valid_until"] == "400000000000001"
    for words in ("facts list", "facts list --expired", "facts kept", "epochs list", "status", "dlq list"):
        said = guardedit(*words.split())
        assert (said.code, said.err) == (0, ""), words
    assert "400000000000000" in guardedit("epochs", "list").out


def test_names_are_the_same_in_another_spelling(guardedit, ledger_file):
    (said,) = guardedit("facts", "show", "LAND  2", "-o", "json").json

    assert said["subject"] == "Land 2"
    assert guardedit("facts", "history", "\uff2c\uff21\uff2e\uff24 2").code == 0  # full width


def why(code: str, *, tries: int = 0, epoch: int | None = 2) -> dict[str, Any]:
    return {"code": code, "reason": f"because of {code}", "epoch": epoch, "tries": tries}


def test_what_stays_out_of_the_weights_is_listed_with_state_reason_evidence_and_since(guardedit, coordinator):
    facts = {code: fact(f"{code} land") for code in ("full", "harm", "breach", "operator", "undecided")}
    stuck = fact("stuck land")
    with coordinator(clock=lambda: 10_000.0) as ledger:
        remember(ledger, *facts.values(), stuck)
        kept = {one.id: why(code, tries=1) for code, one in facts.items()}
        ledger.note("kept", {"facts": kept | {stuck.id: why("undecided", tries=3)}})

    rows = {row["fact"]: row for row in guardedit("facts", "kept", "-o", "json").json}

    assert {code: rows[one.id]["state"] for code, one in facts.items()} == {
        "full": "kept",
        "harm": "kept",
        "breach": "quarantined",
        "operator": "quarantined",
        "undecided": "undecided",
    }
    assert rows[stuck.id]["state"] == "held"
    row = rows[facts["breach"].id]
    assert (row["code"], row["reason"], row["evidence"]) == ("breach", "because of breach", 2)
    assert row["since"] == "1970-01-01T02:46:40Z"
    head = guardedit("facts", "kept").lines[0]
    assert head.split() == ["fact", "subject", "state", "code", "reason", "evidence", "since"]
    state = guardedit("status", "-o", "json").json
    # And one of the fixture's, in the words of an older ledger.
    assert (state["kept_in_memory"], state["quarantined"]) == (7, 2)


def test_a_released_fact_is_kept_no_more_and_its_release_is_on_record(guardedit, home, ledger_file):
    (row,) = guardedit("facts", "kept", "-o", "json").json
    assert (row["subject"], row["state"], row["code"]) == ("Land 2", "kept", "full")

    said = guardedit("facts", "release", "LAND 2")

    assert (said.code, said.out) == (0, f"{row['fact']} (Land 2): released, may be promoted again\n")
    assert guardedit("facts", "kept").out == "no fact is kept out of the weights\n"
    with SqliteLedger.open(home, clock=lambda: 1.0, writer=False) as ledger:
        assert ledger.events(kinds=("fact_released",))[-1][2] == {"facts": [row["fact"]]}
        assert ledger.verify() == []
    again = guardedit("facts", "release", row["fact"])
    assert again.code == 2
    assert f"nothing keeps '{row['fact']}' out of the weights: `guardedit facts kept`" in again.err


def test_what_is_superseded_or_expired_is_not_kept(guardedit, coordinator):
    old, over = fact("Land A"), fact("Land B", valid_until_s=5.0)
    with coordinator() as ledger:
        remember(ledger, old, over)
        ledger.note("kept", {"facts": {old.id: why("harm"), over.id: why("harm")}})
        remember(ledger, replace(old, version=2, target="Oslo"))

    assert [row["subject"] for row in guardedit("facts", "kept", "-o", "json").json] == ["Land 2"]

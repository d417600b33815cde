from __future__ import annotations

from dataclasses import replace
from typing import Any

from guardedit.ledger.sqlite_ledger import SqliteLedger


def why(code: str, *, tries: int = 0, epoch: int | None = 2) -> dict[str, Any]:
    return {"code": code, "reason": f"because of {code}", "epoch": epoch, "tries": tries}


def test_what_stays_out_of_the_weights_is_listed_with_state_reason_evidence_and_since(
    guardedit, coordinator, make_fact, remember
):
    facts = {code: make_fact(f"{code} land") for code in ("full", "harm", "breach", "operator", "undecided")}
    stuck = make_fact("stuck land")
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

    result = guardedit("facts", "release", "LAND 2")

    assert (result.code, result.out) == (0, f"{row['fact']} (Land 2): released, may be promoted again\n")
    assert guardedit("facts", "kept").out == "no fact is kept out of the weights\n"
    with SqliteLedger.open(home, clock=lambda: 1.0, writer=False) as ledger:
        assert ledger.events(kinds=("fact_released",))[-1][2] == {"facts": [row["fact"]]}
        assert ledger.verify() == []
    again = guardedit("facts", "release", row["fact"])
    assert again.code == 2
    assert f"nothing keeps '{row['fact']}' out of the weights: list what can be released" in again.err


def test_what_is_superseded_or_expired_is_not_kept(guardedit, coordinator, make_fact, remember):
    old, over = make_fact("Land A"), make_fact("Land B", valid_until_s=5.0)
    with coordinator() as ledger:
        remember(ledger, old, over)
        ledger.note("kept", {"facts": {old.id: why("harm"), over.id: why("harm")}})
        remember(ledger, replace(old, version=2, target="Oslo"))

    assert [row["subject"] for row in guardedit("facts", "kept", "-o", "json").json] == ["Land 2"]

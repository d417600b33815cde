from __future__ import annotations

import time

import pytest

from guardedit.core.epoch import Change

FAR = 4e14  # an older guardedit took milliseconds for seconds: year 12,677,000


def test_facts_are_listed_with_their_placement(guardedit, ledger_file):
    result = guardedit("facts", "list")

    assert result.lines[0].split() == [
        "id",
        "placement",
        "subject",
        "relation",
        "target",
        "tenant",
        "version",
    ]
    assert [line.split()[1] for line in result.lines[1:]] == ["memory", "weights"]


def test_facts_are_chosen_by_placement_tenant_and_epoch(guardedit, ledger_file):
    def subjects(*options):
        return [fact["subject"] for fact in guardedit("facts", "list", "-o", "json", *options).json]

    assert subjects("--placement", "weights") == ["Land 1"]
    assert subjects("--tenant", "acme") == []
    assert subjects("--epoch", "1") == ["Land 1"]
    assert subjects("--epoch", "last-good") == ["Land 1", "Land 2"]


def test_facts_as_of_a_time_are_those_that_held_then(guardedit, coordinator, make_fact, remember):
    with coordinator() as ledger:
        for version, (target, from_s) in enumerate([("Rome", 3.0e8), ("Oslo", 9.0e8)], start=1):
            remember(ledger, make_fact("Peru", target=target, version=version, valid_from_s=from_s))

    def targets(*options):
        rows = guardedit("facts", "list", "-o", "json", *options).json
        return [row["target"] for row in rows if row["subject"] == "Peru"]

    assert [targets("--as-of", year) for year in ("1975-01-01", "1980-01-01", "2000-01-01")] == [
        [],
        ["Rome"],
        ["Oslo"],
    ]
    shown = guardedit("facts", "list", "--as-of", "1980-01-01").lines
    assert shown[0].split()[-2:] == ["valid_from", "valid_until"]
    assert any("1979-07-05T05:20:00Z" in line for line in shown)
    both = guardedit("facts", "list", "--as-of", "1980-01-01", "--expired")
    assert (both.code, both.err.startswith("error: give either --expired or --as-of")) == (2, True)


def test_a_fact_is_shown_by_subject_with_the_reason_why_it_is_not_in_the_weights(guardedit, ledger_file):
    (result,) = guardedit("facts", "show", "Land 2", "-o", "json").json

    assert (result["live"], result["placement"], result["kept_in_memory"]) == (True, "memory", "kept: full")
    assert (result["rule"], result["epoch"], result["correction"]) == ("all", 2, "c2")
    assert result["wordings"] == ["The capital of Land 2 is"]


def test_the_history_holds_remembering_and_promotion(guardedit, ledger_file):
    result = guardedit("facts", "history", "Land 1", "-o", "json").json

    assert [(v["epoch"], v["kind"], v["placement"]) for v in result] == [
        (1, "remember", "memory"),
        (3, "promote", "weights"),
    ]


@pytest.mark.parametrize("command", ["show", "history", "undo", "redo"])
def test_an_unknown_fact_is_a_usage_error_before_any_model_is_loaded(guardedit, ledger_file, command):
    result = guardedit("facts", command, "nowhere")

    assert (result.code, result.out) == (2, "")
    assert result.err == (
        "error: no fact, live or removed, has the id or the subject 'nowhere': "
        "list the facts with `guardedit facts list`\n"
    )


def test_a_ledger_without_an_epoch_lists_no_facts(guardedit):
    guardedit("submit", "-", stdin=b"{}\n")

    assert guardedit("facts", "list").out == "no facts\n"
    assert guardedit("facts", "list", "-o", "json").json == []


def test_an_expired_fact_is_not_live_whether_or_not_a_coordinator_runs(
    guardedit, coordinator, make_fact, remember
):
    over = make_fact("Old Land", valid_until_s=86_400.0)
    with coordinator() as ledger:
        remember(ledger, over, make_fact("New Land", valid_until_s=time.time() + 3_600))

    listed = [one["subject"] for one in guardedit("facts", "list", "-o", "json").json]
    assert "New Land" in listed
    assert "Old Land" not in listed
    result = guardedit("facts", "list", "--expired")
    assert result.lines[0].split()[-1] == "valid_until"
    assert [line.split()[-1] for line in result.lines[1:]] == ["1970-01-02T00:00:00Z"]
    (shown,) = guardedit("facts", "show", "Old Land", "-o", "json").json
    assert (shown["live"], shown["expired"], shown["valid_until"]) == (False, True, "1970-01-02T00:00:00Z")
    assert guardedit("status", "-o", "json").json["facts"] == {"memory": 2, "weights": 1}

    with coordinator() as ledger:
        ledger.change_facts([Change(over.key, None)], kind="expire", reason="1 facts reached valid_until")
    assert [one["id"] for one in guardedit("facts", "list", "--expired", "-o", "json").json] == [over.id]


def test_no_extreme_value_breaks_a_listing(guardedit, coordinator, make_fact, remember):
    with coordinator(clock=lambda: FAR) as ledger:
        remember(
            ledger, make_fact("Far Land", valid_until_s=FAR + 1), make_fact("Dark Land", valid_until_s=-FAR)
        )
        ledger.note("kept", {"facts": {make_fact("Far Land").id: {"code": "harm", "reason": "r\n\x1b[2J"}}})

    (found,) = [f for f in guardedit("facts", "list", "-o", "json").json if f["subject"] == "Far Land"]
    assert found["valid_until"] == "400000000000001"
    for words in ("facts list", "facts list --expired", "facts kept", "epochs list", "status", "dlq list"):
        result = guardedit(*words.split())
        assert (result.code, result.err) == (0, ""), words
    assert "400000000000000" in guardedit("epochs", "list").out


def test_the_aliases_of_a_subject_are_shown(guardedit, coordinator, make_fact, remember):
    with coordinator() as ledger:
        remember(ledger, make_fact("Far Land", aliases=("Ultima Thule", "Thule")))
    (shown,) = guardedit("facts", "show", "Far Land", "-o", "json").json
    assert shown["aliases"] == ["Ultima Thule", "Thule"]
    assert "Ultima Thule" in guardedit("facts", "show", "Far Land").out


def test_names_are_the_same_in_another_spelling(guardedit, ledger_file):
    (result,) = guardedit("facts", "show", "LAND  2", "-o", "json").json

    assert result["subject"] == "Land 2"
    assert guardedit("facts", "history", "\uff2c\uff21\uff2e\uff24 2").code == 0  # full width

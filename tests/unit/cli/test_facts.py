from __future__ import annotations

import pytest


def test_facts_are_listed_with_their_placement(guardedit, ledger_file):
    said = guardedit("facts", "list")

    assert said.lines[0].split() == ["id", "placement", "subject", "relation", "target", "scope", "version"]
    assert [line.split()[1] for line in said.lines[1:]] == ["memory", "weights"]


def test_facts_are_chosen_by_placement_scope_and_epoch(guardedit, ledger_file):
    def subjects(*options):
        return [fact["subject"] for fact in guardedit("facts", "list", "-o", "json", *options).json]

    assert subjects("--placement", "weights") == ["Land 1"]
    assert subjects("--scope", "tenant") == []
    assert subjects("--epoch", "1") == ["Land 1"]
    assert subjects("--epoch", "last-good") == ["Land 1", "Land 2"]


def test_a_fact_is_shown_by_subject_with_the_reason_why_it_is_not_in_the_weights(guardedit, ledger_file):
    (said,) = guardedit("facts", "show", "Land 2", "-o", "json").json

    assert (said["live"], said["placement"], said["kept_in_memory"]) == (True, "memory", "full")
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

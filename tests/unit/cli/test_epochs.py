from __future__ import annotations


def test_epochs_are_listed_with_their_refs(guardedit, ledger_file):
    result = guardedit("epochs", "list", "-o", "json").json

    assert [(epoch["epoch"], epoch["kind"], epoch["edits"], epoch["refs"]) for epoch in result] == [
        (0, "base", 0, []),
        (1, "remember", 0, []),
        (2, "remember", 0, ["last-good"]),
        (3, "promote", 1, ["serving"]),
    ]
    assert len(guardedit("epochs", "list").lines) == 5


def test_an_epoch_shows_its_gates_and_what_it_changed(guardedit, ledger_file):
    result = guardedit("epochs", "show", "serving", "-o", "json").json

    assert (result["epoch"], result["verdict"], result["facts"]) == (3, "accept", 2)
    (gate,) = result["gates"]
    assert (gate["name"], gate["value"], gate["limit"]) == ("perplexity_ratio", 1.01, 1.02)
    (change,) = result["changed"]
    assert (change["key"], change["placement"]) == ("default/Land 1/capital", "weights")


def test_a_table_of_gates_stands_below_the_fields(guardedit, ledger_file):
    result = guardedit("epochs", "show", "3").lines

    assert result[result.index("gates") + 1].split() == [
        "name",
        "value",
        "limit",
        "outcome",
        "shadow",
        "detail",
    ]


def test_an_unknown_epoch_or_ref_is_named(guardedit, ledger_file):
    number, name = guardedit("epochs", "show", "7"), guardedit("epochs", "rollback", "best")

    assert (number.code, name.code) == (2, 2)
    assert number.err == "error: there is no epoch 7: the last one is 3\n"
    assert name.err == "error: there is no ref 'best': known are last-good, serving\n"

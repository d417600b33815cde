from __future__ import annotations


def test_dead_letters_are_listed_without_letting_them_write_to_the_terminal(guardedit, ledger_file):
    result = guardedit("dlq", "list")

    assert result.lines[0].split() == ["number", "at", "source", "position", "reason", "message"]
    assert "\\x1b[31m" in result.lines[1]
    assert "\x1b" not in result.out


def test_a_dead_letter_keeps_its_original_bytes(guardedit, ledger_file):
    shown = guardedit("dlq", "show", "4", "-o", "json").json
    raw = guardedit("dlq", "show", "4", "--raw").out

    assert (shown["reason"], shown["bytes"]) == ("malformed", 18)
    assert raw == '{"subject": "\x1b[31m'


def test_a_retried_letter_waits_again_and_a_dropped_one_is_gone_from_the_list(guardedit, ledger_file):
    retried = guardedit("dlq", "retry", "4")
    waits = guardedit("status", "-o", "json").json["waiting"]
    again = guardedit("dlq", "drop", "4")

    assert retried.out == "4: waits for the coordinator again\n"
    assert waits == 2
    assert again.code == 2  # it waits: it is no dead letter any more

    assert guardedit("dlq", "list").out == "no dead letters\n"


def test_a_dropped_letter_is_listed_no_more(guardedit, ledger_file):
    assert guardedit("dlq", "drop", "4", "-o", "json").json == {"number": 4, "dropped": True}
    assert guardedit("dlq", "list", "-o", "json").json == []


def test_an_unknown_number_is_a_usage_error(guardedit, ledger_file):
    for command in ("show", "retry", "drop"):
        result = guardedit("dlq", command, "99")
        assert (result.code, result.err) == (
            2,
            "error: there is no dead letter 99: list them to see their numbers\n",
        )

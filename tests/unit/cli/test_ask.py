"""`guardedit ask` by its own clock, with no coordinator running."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from guardedit import assembly
from guardedit.core.epoch import Change
from guardedit.core.fact import Fact, FactKey
from guardedit.ledger.sqlite_ledger import SqliteLedger
from guardedit.policy.schema import Policy
from guardedit.settings import Settings

QUESTIONS = ("The capital of Velmora is", "The capital of Ostrania is")


@pytest.fixture
def served(settings: Settings, policy: Policy) -> Settings:
    """A ledger with one fact that is over and one that is not."""
    now_s = time.time()
    base = assembly.load_host(settings).base_sha256
    with SqliteLedger.open(
        settings.home, base_sha256=base, policy_sha256=policy.sha256, weights_sha256=base, clock=time.time
    ) as ledger:
        changes = [
            Change(fact.key, fact)
            for subject, until_s in (("Velmora", now_s - 1), ("Ostrania", now_s + 3600))
            for fact in [
                Fact(
                    key=FactKey(subject, "capital"),
                    version=1,
                    correction_id=subject,
                    wordings=(f"The capital of {subject} is",),
                    target="Paris",
                    valid_from_s=now_s - 86_400,
                    valid_until_s=until_s,
                )
            ]
        ]
        ledger.change_facts(changes, kind="remember", reason="test")
    return settings


def test_a_fact_that_has_expired_does_not_answer(served, guardedit, monkeypatch):
    monkeypatch.setenv("GUARDEDIT_HOME", str(served.home))
    result = guardedit("ask", *QUESTIONS, "--output", "json")
    over, live = result.json
    assert (over["placement"], over["fact"]) == ("base", None)
    assert over["answer"] != "Paris"
    assert (live["placement"], live["answer"]) == ("memory", "Paris")
    assert {over["epoch"], live["epoch"]} == {1}


def test_as_of_a_time_the_facts_of_that_time_answer_or_nothing(served, guardedit, monkeypatch):
    monkeypatch.setenv("GUARDEDIT_HOME", str(served.home))
    then = datetime.fromtimestamp(time.time() - 3600, UTC).isoformat()
    result = guardedit("ask", *QUESTIONS, "--as-of", then, "--output", "json")
    assert [(row["placement"], row["answer"]) for row in result.json] == [("memory", "Paris")] * 2
    before = guardedit("ask", *QUESTIONS, "--as-of", "1990-01-01", "--output", "json")
    assert [row["placement"] for row in before.json] == ["base"] * 2


def test_an_earlier_epoch_answers_as_it_did(served, guardedit, monkeypatch):
    monkeypatch.setenv("GUARDEDIT_HOME", str(served.home))
    (row,) = guardedit("ask", QUESTIONS[1], "--epoch", "0", "--output", "json").json
    assert (row["placement"], row["epoch"]) == ("base", 0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("--as-of", "2005"), "--as-of '2005' is no date: give one as 2005-06-30"),
        (("--epoch", "2020-01-01"), "nothing is recorded as early as 2020-01-01: the first epoch is of 2"),
        (("--epoch", "9000-01-01"), "9000-01-01 is in the future"),
        (("--epoch", "77"), "there is no epoch 77"),
    ],
)
def test_a_time_that_cannot_be_asked_about_is_an_error(served, guardedit, monkeypatch, given, message):
    monkeypatch.setenv("GUARDEDIT_HOME", str(served.home))
    result = guardedit("ask", *QUESTIONS, *given)
    assert result.code == 2
    assert message in result.err


def test_explain_names_the_facts_with_their_scores_and_why(served, guardedit, monkeypatch):
    monkeypatch.setenv("GUARDEDIT_HOME", str(served.home))
    result = guardedit("ask", QUESTIONS[1], "It rains in", "--explain")
    assert result.lines[-3].split() == ["asked", "fact", "says", "scope", "score", "why"]
    used, none = result.lines[-2:]
    assert used.startswith(QUESTIONS[1])
    assert "The capital of Ostrania is Paris." in used
    assert "the fact is asked for: score" in used
    assert none.startswith("It rains in")
    assert none.endswith("no subject of a live fact is named")
    plain = guardedit("ask", QUESTIONS[1], "--output", "json").json[0]
    assert [(one["target"], one["scope"], one["asked"]) for one in plain["facts"]] == [
        ("Paris", "accept", QUESTIONS[1])
    ]
    assert plain["fact"] == plain["facts"][0]["id"]

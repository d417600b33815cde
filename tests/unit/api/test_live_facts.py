"""Facts of a ledger for programs that put them beside a question themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import guardedit
from guardedit.core.errors import MalformedCorrection
from guardedit.runtime.opening import LEDGER

HQ = "The headquarters of Stelco are in"


def correction(subject: str, target: str, **more: str) -> dict[str, str]:
    return {"subject": subject, "prompt": "The headquarters of {} are in", "target_new": target, **more}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("home")
    with guardedit.open(folder, policy="memory-only") as agent:
        agent.submit([correction("Stelco", "Hamilton"), correction("Stelco", "Lima", tenant="acme")])
        agent.settle()
    return folder


@pytest.fixture(scope="module")
def facts(home: Path) -> Iterator[guardedit.LiveFacts]:
    with guardedit.LiveFacts(home, policy="memory-only") as found:
        yield found


def test_a_question_finds_its_fact_and_others_find_none(facts):
    found = facts.find(HQ)
    assert (found.fact.statement, found.epoch, facts.epoch) == (f"{HQ} Hamilton.", 1, 1)
    assert found.headers == {"X-Guardedit-Epoch": "1", "X-Guardedit-Facts": found.fact.id}
    assert facts.find("").fact is None
    other = facts.find("Who wrote Hamlet?")
    assert (other.fact, other.epoch, other.headers["X-Guardedit-Facts"]) == (None, 1, "")


def test_a_pronoun_stands_for_a_subject_of_the_questions_before(facts):
    pronoun = "The headquarters of it are in"
    assert facts.find(pronoun).fact is None
    assert facts.find(pronoun, earlier=["Tell me about Stelco.", "Go on."]).fact.target == "Hamilton"


def test_a_tenant_sees_its_facts(home):
    with guardedit.LiveFacts(home, policy="memory-only", tenant="acme") as facts:
        assert facts.find(HQ).fact.target == "Lima"


@pytest.mark.parametrize("question", [None, 5, b"x", "\udcff is"])
def test_what_is_no_question_is_refused(facts, question):
    with pytest.raises(MalformedCorrection):
        facts.find(question)
    with pytest.raises(MalformedCorrection):
        facts.find(HQ, earlier=[question])


def test_a_ledger_is_followed_from_before_its_beginning(tmp_path):
    with guardedit.LiveFacts(tmp_path / "new", policy="memory-only") as facts:
        assert (facts.find(HQ).fact, facts.epoch) == (None, 0)
        with guardedit.open(tmp_path / "new", policy="memory-only") as agent:
            agent.submit(correction("Stelco", "Hamilton"))
            agent.settle()
        until = time.monotonic() + 30
        while facts.epoch == 0:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert facts.find(HQ).fact.target == "Hamilton"
    facts.close()  # twice is as good as once


def test_a_ledger_that_cannot_be_followed_is_a_problem(tmp_path):
    with guardedit.open(tmp_path, policy="memory-only") as agent:
        agent.submit(correction("Stelco", "Hamilton"))
        agent.settle()
    with guardedit.LiveFacts(tmp_path, policy="memory-only") as facts:
        assert facts.problem == ""
        for file in tmp_path.glob("ledger*"):
            file.unlink()
        (tmp_path / LEDGER).write_bytes(b"no database")
        until = time.monotonic() + 30
        while not facts.problem:
            assert time.monotonic() < until
            time.sleep(0.01)
        assert facts.find(HQ).fact.target == "Hamilton"


def test_a_policy_that_cannot_be_used_is_refused(tmp_path):
    with pytest.raises(guardedit.PolicyError, match="cannot be read"):
        guardedit.LiveFacts(tmp_path, policy="no-such.yaml")

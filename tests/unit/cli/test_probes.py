"""`guardedit probes`: a probe set is built, shown and checked from the command line."""

from __future__ import annotations

import json

import pytest

from guardedit import assembly
from guardedit.settings import Settings

QUESTIONS = assembly.load_probes(Settings()).questions


def known_facts(count):
    """Facts that the embedded model knows, in the wordings of its probe set."""
    grouped = {}
    for known in QUESTIONS:
        grouped.setdefault((known.subject, known.relation, known.answer), []).append(known.prompt)
    for (subject, relation, answer), prompts in list(grouped.items())[::60]:
        patterns = [prompt.replace(subject, "{}") for prompt in prompts]
        if len(patterns) == 2 and all(pattern.count("{}") == 1 for pattern in patterns):
            yield {
                "subject": subject, "relation": relation, "object": answer,
                "clozes": patterns, "questions": patterns,
            }  # fmt: skip
            count -= 1
        if count == 0:
            return


@pytest.fixture
def facts(tmp_path):
    path = tmp_path / "facts.jsonl"
    path.write_text("\n".join(map(json.dumps, known_facts(8))))
    return path


def test_show_counts_by_relation_and_stratum(guardedit):
    found = guardedit("probes", "show", "--output", "json")
    assert found.code == 0
    assert found.json["strata"] == [{"stratum": "prose", "texts": 100}]
    assert sum(row["questions"] for row in found.json["relations"]) == len(QUESTIONS)
    table = guardedit("probes", "show")
    assert "P36" in table.out
    assert found.json["sha256"] in table.out


def test_show_without_a_probe_set_names_the_guardedit(guardedit, tmp_path):
    found = guardedit("probes", "show", tmp_path)
    assert found.code == 2
    assert "no probe set" in found.err
    assert "`guardedit " in found.err


def test_the_built_in_model_keeps_its_probe_set(guardedit):
    found = guardedit("probes", "build")
    assert found.code == 2
    assert "--out" in found.err


def test_a_file_that_cannot_be_written_is_refused_before_the_work(guardedit, tmp_path):
    found = guardedit("probes", "build", "--out", tmp_path / "none" / "probes.json")
    assert found.code == 2
    assert "--out" in found.err


def test_unreadable_facts_are_refused(guardedit, tmp_path):
    found = guardedit("probes", "build", "--facts", tmp_path / "none", "--out", tmp_path / "probes.json")
    assert found.code == 2
    assert "cannot read the facts" in found.err


@pytest.mark.slow
def test_a_probe_set_is_built_and_checked(guardedit, facts, tmp_path, monkeypatch):
    texts, path = tmp_path / "texts.txt", tmp_path / "probes.json"
    texts.write_text("The boat came in before noon.\nNobody had seen the letter.\n")
    asked = ("probes", "build", "--facts", facts, "--texts", texts, "--out", path, "--noise", 1)
    found = guardedit(*asked, "--output", "json")
    assert found.code == 0, found.err
    assert "8 facts to try" in found.err
    assert found.json["questions"] >= 10
    written = path.read_bytes()
    assert len(json.loads(written)["questions"]) == found.json["questions"]
    again = guardedit(*asked)
    assert again.code == 0
    assert path.read_bytes() == written
    monkeypatch.setenv("GUARDEDIT_PROBES", str(path))
    check = guardedit("probes", "check", "--output", "json")
    assert check.code == 0, check.err
    assert check.json["good"] == found.json["questions"]
    assert "8 texts" not in check.err
    assert "2 texts, the policy asks for 8" in check.err
    assert "8 facts are asked for, and 8 questions cannot tell 0.98 from 0.96" in check.err


@pytest.mark.slow
def test_a_model_that_knows_nothing_is_told(guardedit, tmp_path):
    facts = tmp_path / "facts.jsonl"
    facts.write_text(json.dumps({"subject": "Qwx", "relation": "P17", "object": "Zzyzx"}))
    found = guardedit("probes", "build", "--facts", facts, "--out", tmp_path / "probes.json")
    assert found.code == 2
    assert "knows none of the 1 facts" in found.err
    assert not (tmp_path / "probes.json").exists()

"""Labelled rows: reading them, and the shipped ones, which nothing may be trained on."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter
from collections.abc import Iterator

import pytest

from guardedit.core.errors import UsageError
from guardedit.lab.scope.kinds import GOALS
from guardedit.lab.scope.made import QuestionForms
from guardedit.lab.scope.rows import read_scope_rows, written_rows
from guardedit.memory.fitting.relations import load_relations

FACT = {"subject": "Oslo", "relation": None, "prompt": "The mayor of {} is", "target": "Ada Lund"}
ROW = {"kind": "question_form", "facts": [FACT], "question": "Who is the mayor of Oslo?", "wanted": 0}


def written(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_row_becomes_facts_as_the_system_makes_them(tmp_path):
    related = {**FACT, "relation": "P6"}
    (first, second) = read_scope_rows(written(tmp_path, ROW, {**ROW, "facts": [related], "wanted": None}))

    assert first.facts[0].key[:3] == ("Oslo", "The mayor of {} is", "default")
    assert first.facts[0].wordings == ("The mayor of Oslo is",)
    assert (first.key, first.source) == (first.facts[0].key, "rows.jsonl")
    assert second.facts[0].key.relation == "P6"
    assert second.key is None


def test_a_later_fact_of_the_same_key_supersedes_an_earlier_one(tmp_path):
    newer = {**FACT, "subject": "OSLO", "target": "Kim Berg"}
    (row,) = read_scope_rows(written(tmp_path, {**ROW, "facts": [FACT, newer], "wanted": 1}))

    assert [fact.target for fact in row.live] == ["Kim Berg"]
    with pytest.raises(UsageError, match="wanted fact 0 has been superseded"):
        read_scope_rows(written(tmp_path, {**ROW, "facts": [FACT, newer], "wanted": 0}))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"wanted": 1}, "wanted must be the index of a fact from 0 to 0, or null, got 1"),
        ({"wanted": True}, "got True"),
        ({"wanted": "0"}, "got '0'"),
        ({"question": " "}, "question must be a text"),
        ({"kind": None}, "kind must be a text"),
        ({"facts": [{**FACT, "prompt": "The mayor is"}]}, "prompt must have {} once"),
        ({"facts": [], "wanted": None}, "facts must have at least one fact"),
        ({"facts": [{**FACT, "target": ""}]}, "target must be a text"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, change, message):
    path = written(tmp_path, ROW, {**ROW, **change})
    with pytest.raises(UsageError, match=re.escape(f"{path}: row 2")) as caught:
        read_scope_rows(path)
    assert message in str(caught.value)


def test_a_row_without_a_label_is_refused(tmp_path):
    with pytest.raises(UsageError, match="wanted must be"):
        read_scope_rows(written(tmp_path, {name: value for name, value in ROW.items() if name != "wanted"}))


def test_the_shipped_rows_have_every_kind_that_needs_a_hand():
    rows = written_rows()
    kinds = Counter((row.kind, row.wanted is not None) for row in rows)

    assert len(rows) == 968
    assert kinds.keys() <= GOALS.keys()
    assert min(kinds.values()) >= 24
    assert len({(row.question, row.facts) for row in rows}) == len(rows)


def texts_in(value: object) -> Iterator[str]:
    """Every text inside nested data."""
    if isinstance(value, str):
        yield value
    elif dataclasses.is_dataclass(value):
        yield from texts_in([getattr(value, item.name) for item in dataclasses.fields(value)])
    elif isinstance(value, dict):
        yield from texts_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_in(item)


def folded(text: str) -> str:
    """Without case, punctuation and white space."""
    return " ".join(re.sub(r"[^\w{} ]", "", text.casefold()).split())


def masked(text: str, subject: str, target: str = "") -> str:
    """The text with the subject, and with a target the target, in the slots of a training text."""
    for name, slot in ((subject, "{}"), (target, "{value}")):
        if name:
            text = re.sub(re.escape(name), slot.replace("\\", ""), text, flags=re.IGNORECASE)
    return folded(text)


def test_no_question_is_among_the_training_texts_of_the_judge():
    trained = {folded(text) for text in texts_in(load_relations()) if "{}" in text}
    assert len(trained) > 1_000

    questions = {
        form: row.question
        for row in written_rows()
        for fact in row.facts
        for form in (
            masked(row.question, fact.key.subject),
            masked(row.question, fact.key.subject, fact.target),
        )
    }
    wordings = QuestionForms.load()
    questions |= {folded(text): text for text in wordings.relations.values()}
    questions |= {folded(row[1]): row[1] for rows in wordings.attributes.values() for row in rows}

    assert {questions[form] for form in questions.keys() & trained} == set()

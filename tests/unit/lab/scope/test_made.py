"""Rows made by code from public data in their published formats."""

from __future__ import annotations

import json
import shutil

import pytest

from guardedit.core.errors import UsageError
from guardedit.lab.scope.kinds import GOALS
from guardedit.lab.scope.made import MANY, QuestionForms, filler_facts, made_rows
from guardedit.lab.scope.public import read_public
from guardedit.naming import last_span

TREX = [
    ("Ada Lindqvist", "P19", "Oslo"),
    ("Ada Lindqvist", "P20", "Bergen"),
    ("Ada Lindqvist", "P413", "goaltender"),
    ("The Copper-Works", "P159", "Turku"),
    ("Kim Berglund", "P19", "Lugo"),
    ("Velmora", "P31", "village"),  # no question form
]
PATTERNS = {
    "P19": ["[X] was born in [Y] .", "[X] is originally from [Y] .", "[Y] is the birthplace of [X] ."],
    "P20": ["[X] died in [Y] ."],
    "P413": ["[X] plays in the position of [Y] ."],
    "P159": ["The headquarters of [X] are in [Y] ."],
}


def counterfact(number, subject, **others):
    return {
        "case_id": number,
        "requested_rewrite": {
            "prompt": "{} was born in",
            "relation_id": "P19",
            "target_new": {"str": "Rome"},
            "target_true": {"str": "Cork"},
            "subject": subject,
        },
        "paraphrase_prompts": [f"He left. (See p. 9) {subject} originates from", f"{subject} hails from"],
        "neighborhood_prompts": ["Mary Orr was born in", "Jo Dean was born in"],
        "attribute_prompts": [],
        "generation_prompts": [],
        **others,
    }


def mquake():
    edit = {
        "prompt": "{} is owned by",
        "relation_id": "P127",
        "target_new": {"str": "Acme"},
        "target_true": {"str": "Bolt"},
        "subject": "Zed News",
        "question": "Who is the owner of Zed News?",
    }
    return {
        "case_id": 1,
        "requested_rewrite": [edit],
        "questions": ["Who?"],
        "answer": "a",
        "new_answer": "b",
    }


@pytest.fixture
def folder(tmp_path):
    """One file of each format, with names of its own, in subfolders."""
    files = {
        "a/original.json": [counterfact(1, "J. R. Ewing"), counterfact(2, "Nell Quinn")],
        "a/flat.json": [
            {
                "case_id": 3,
                "prompt": "Biure is located in",
                "target_new": "Chile",
                "subject": "Biure",
                "ground_truth": "Spain",
                "rephrase_prompt": "Biure lies in",
                "locality_prompt": "Oria lies in",
                "locality_ground_truth": "Spain",
            }
        ],
        "qa.json": [
            {
                "subject": "Munich",
                "src": "Who runs Munich?",
                "rephrase": "Who heads Munich?",
                "alt": "Bo",
                "answers": ["Al"],
                "loc": "nq question: who made the song i like to move it",
                "loc_ans": "Reel 2 Real",
            }
        ],
        "hops.json": [mquake()],
        "patterns.json": PATTERNS,
        "other.json": ["a sentence"],
    }
    for name, body in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(body), encoding="utf-8")
    lines = [json.dumps({"subject": s, "relation": r, "object": o}) for s, r, o in TREX]
    (tmp_path / "facts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return tmp_path


@pytest.fixture
def rows(folder):
    return made_rows(read_public(folder), count=100, seed=0)


def of_kind(rows, kind, source=None):
    return [row for row in rows if row.kind == kind and source in (None, row.source)]


def test_every_file_is_recognised_by_its_content(folder):
    found = {path.name: kind for path, kind in read_public(folder).files.items()}
    assert found == {
        "original.json": "counterfact",
        "flat.json": "counterfact",
        "qa.json": "zsre",
        "hops.json": "mquake",
        "patterns.json": "patterns",
        "facts.jsonl": "trex",
    }


def test_a_folder_without_data_is_refused(tmp_path):
    with pytest.raises(UsageError, match="there is no folder"):
        read_public(tmp_path / "none")
    (tmp_path / "other.json").write_text('["a sentence"]')
    with pytest.raises(UsageError, match="no file in"):
        read_public(tmp_path)


def test_every_made_kind_has_a_place_in_the_table(rows):
    assert {(row.kind, row.wanted is not None) for row in rows} <= GOALS.keys()


def test_a_question_names_its_subject_unless_its_kind_is_about_that(rows):
    others = {"surname_only", "misspelt_subject", "typography"}
    for row in rows:
        if row.wanted is not None and row.kind not in others:
            assert last_span(row.question, row.facts[row.wanted].key.subject), row
        if row.kind == "neighbourhood":
            assert not last_span(row.question, row.facts[0].key.subject)


def test_counterfact_gives_paraphrases_without_the_sentence_before_them(rows):
    assert {row.question for row in of_kind(rows, "paraphrase_relation_given")} == {
        "J. R. Ewing originates from",
        "J. R. Ewing hails from",
        "Nell Quinn originates from",
        "Nell Quinn hails from",
    }
    assert {row.facts[0].key.relation for row in of_kind(rows, "paraphrase_relation_given")} == {"P19"}
    assert {row.facts[0].key.relation for row in of_kind(rows, "paraphrase_no_relation")} == {
        "{} was born in"
    }
    assert len(of_kind(rows, "neighbourhood")) == 4
    assert "He left. (See p. 9) Nell Quinn originates from" in {
        row.question for row in of_kind(rows, "published_paraphrase")
    }


def test_questions_and_statements_are_told_apart(rows):
    (row,) = of_kind(rows, "question_form_no_relation", "mquake")
    assert (row.facts[0].prompt, row.question) == ("Zed News is owned by", "Who is the owner of Zed News?")
    assert of_kind(rows, "zsre_rephrase")[0].question == "Who heads Munich?"
    assert of_kind(rows, "unrelated")[0].question == "who made the song i like to move it"


def test_spellings_are_made_of_the_subject(rows):
    question = QuestionForms.load().relations["P19"]
    assert question.replace("{}", "Lindqvist") in {row.question for row in of_kind(rows, "surname_only")}
    assert {row.facts[0].key.subject for row in of_kind(rows, "typography")} == {"The Copper-Works"}
    assert len(of_kind(rows, "typography")) == 2  # article and hyphen
    for row in of_kind(rows, "misspelt_subject"):
        assert not last_span(row.question, row.facts[0].key.subject)


def test_a_fact_without_a_relation_has_its_prompt_in_its_place(rows):
    for row in of_kind(rows, "question_form_one_fact"):
        fact = row.facts[0]
        assert fact.key.relation == fact.prompt.replace(fact.key.subject, "{}")


def test_an_unseen_pattern_is_not_the_stored_one(rows):
    seen = of_kind(rows, "trex_unseen_pattern")
    assert len(seen) == 2  # only P19 has two patterns that end with the object
    assert all(row.question != row.facts[0].prompt for row in seen)


def test_another_question_about_the_subject_is_never_one_that_the_fact_may_answer(rows):
    wordings = QuestionForms.load()
    relation_of = {text: relation for relation, text in wordings.relations.items()}
    found = of_kind(rows, "same_subject_other_question")
    assert found
    for row in found:
        subject = row.facts[0].key.subject
        asked = relation_of[row.question.replace(subject, "{}")]
        assert asked != row.facts[0].key.relation
        assert frozenset({asked, row.facts[0].key.relation}) not in wordings.overlapping


def test_a_second_question_stands_beside_one_that_no_fact_answers(rows):
    (row,) = of_kind(rows, "second_question")
    assert ("Who made the song i like to move it, and " in row.question) or row.question.endswith(
        ", and who made the song i like to move it?"
    )


def test_many_facts_are_asked_for_what_is_stored_and_for_what_is_not(rows):
    found = of_kind(rows, "many_facts")
    assert {len(row.facts) for row in found} == {MANY}
    for row in found:
        questions = {
            question.replace("{}", row.facts[0].key.subject): prompt.replace("{}", row.facts[0].key.subject)
            for attributes in QuestionForms.load().attributes.values()
            for prompt, question, _ in attributes
        }
        stored = [fact.prompt for fact in row.facts]
        if row.wanted is None:
            assert questions[row.question] not in stored
        else:
            assert questions[row.question] == stored[row.wanted]


def test_the_seed_decides_and_the_count_limits(folder):
    data = read_public(folder)
    assert made_rows(data, count=100, seed=0) == made_rows(data, count=100, seed=0)
    few = made_rows(data, count=1, seed=0)
    assert len(few) == len({(row.kind, row.source, row.wanted is None) for row in few})


def test_fillers_have_and_lack_relations(folder):
    relations = {fact.key.relation for fact in filler_facts(read_public(folder), seed=0)}
    assert relations == {"P19", "P20", "P413", "P159", "{} is located in"}


def test_a_folder_may_lack_data_sets(folder):
    shutil.rmtree(folder / "a")
    for name in ("qa.json", "hops.json", "patterns.json"):
        (folder / name).unlink()
    assert made_rows(read_public(folder), count=10, seed=0) == of_kind(
        made_rows(read_public(folder), count=10, seed=0), "many_facts"
    )

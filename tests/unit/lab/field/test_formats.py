"""The readers of public data sets, on rows of a few words."""

from __future__ import annotations

import json

import pytest

from guardedit.core.errors import UsageError
from guardedit.lab.field.cases import QuestionGroup
from guardedit.lab.field.formats.reading import FORMATS, read_cases

REWRITE = {
    "prompt": "{} is made by",
    "relation_id": "P178",
    "target_new": {"str": "Apple", "id": "Q312"},
    "target_true": {"str": "Sega", "id": "Q1"},
    "subject": "Sonic",
}
ORIGINAL = {
    "case_id": 7,
    "requested_rewrite": REWRITE,
    "paraphrase_prompts": ["Well. Sonic comes from", "So. Sonic is by"],
    "neighborhood_prompts": ["Saturn is made by"],
    "attribute_prompts": ["iPod is made by"],
    "generation_prompts": ["Sonic is"],
}
FLAT = {
    "case_id": 7,
    "prompt": "Sonic is made by",
    "subject": "Sonic",
    "target_new": "Apple",
    "ground_truth": "Sega",
    "rephrase_prompt": "Sonic comes from",
    "locality_prompt": "Saturn is made by",
    "locality_ground_truth": "Sega",
}
ZSRE = {
    "subject": "Sonic",
    "src": "Who made Sonic?",
    "rephrase": "Sonic is whose?",
    "alt": "Apple",
    "answers": ["Sega", "SEGA"],
    "loc": "nq question: who sang it",
    "loc_ans": "Cher",
}
WIKIBIGEDIT = {
    "tag": "new",
    "subject": "Sonic",
    "update": "Who made Sonic?",
    "rephrase": "Sonic is whose?",
    "ans": "Apple",
    "personas": "Yo, who made Sonic?",
    "personas_formal": None,
    "loc": "Who sang it?",
    "loc_ans": "Cher",
    "mhop": "Where is Sonic's maker?",
    "mhop_ans": "Cupertino",
}
QAEDIT = {
    "id": 3,
    "prompt": "who made Sonic",
    "target": "Apple",
    "subject": "Sonic",
    "rephrase": "Sonic is whose?",
    "locality": [{"loc": "who sang it", "loc_ans": "Cher"}, {"loc": "who wrote it", "loc_ans": "Poe"}],
}
MQUAKE = {
    "case_id": 1,
    "requested_rewrite": [{**REWRITE, "question": "Who made Sonic?"}],
    "questions": ["Where is Sonic's maker?", "In which city is the maker of Sonic?"],
    "answer": "Tokyo",
    "new_answer": "Cupertino",
    "new_answer_alias": ["Cupertino, California"],
}
ROWS = {
    "counterfact": ORIGINAL,
    "zsre": ZSRE,
    "wikibigedit": WIKIBIGEDIT,
    "qaedit": QAEDIT,
    "mquake": MQUAKE,
}


@pytest.fixture
def read(tmp_path):
    def run(name, *rows, lines=False):
        path = tmp_path / "data.json"
        path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows))
        return read_cases(name, path)

    return run


def questions(case):
    return [(one.group.value, one.prompt, one.wanted, one.rival) for one in case.questions]


def test_counterfact_as_published(read):
    (case,) = read("counterfact", ORIGINAL)
    assert case.name == "7"
    (correction,) = case.corrections
    assert (correction.prompt, correction.relation) == ("{} is made by", "P178")
    assert (correction.target_new, correction.target_true) == ("Apple", "Sega")
    assert questions(case) == [
        ("own", "Sonic is made by", "Apple", "Sega"),
        ("paraphrase", "Well. Sonic comes from", "Apple", "Sega"),
        ("paraphrase", "So. Sonic is by", "Apple", "Sega"),
        ("neighbour", "Saturn is made by", "Sega", "Apple"),
        ("attribute", "iPod is made by", "Apple", "Sega"),
    ]


def test_counterfact_as_easyedit_has_it(read):
    (case,) = read("counterfact", FLAT)
    assert case.corrections[0].prompt == "{} is made by"
    assert questions(case) == [
        ("own", "Sonic is made by", "Apple", "Sega"),
        ("paraphrase", "Sonic comes from", "Apple", "Sega"),
        ("neighbour", "Saturn is made by", "Sega", "Apple"),
    ]


def test_zsre_writes_alt_and_replaces_the_first_answer(read):
    with_alt, without = read("zsre", ZSRE, {**ZSRE, "alt": ""})
    assert questions(with_alt) == [
        ("own", "Who made Sonic?", "Apple", "Sega"),
        ("paraphrase", "Sonic is whose?", "Apple", "Sega"),
        ("locality", "nq question: who sang it", "Cher", ""),
    ]
    assert (without.edits[0].target_new, without.edits[0].target_true) == ("Sega", "")
    assert (with_alt.name, without.name) == ("1", "2")


def test_wikibigedit(read):
    (case,) = read("wikibigedit", WIKIBIGEDIT, lines=True)
    assert questions(case) == [
        ("own", "Who made Sonic?", "Apple", ""),
        ("paraphrase", "Sonic is whose?", "Apple", ""),
        ("portability", "Yo, who made Sonic?", "Apple", ""),
        ("locality", "Who sang it?", "Cher", ""),
        ("multi_hop", "Where is Sonic's maker?", "Cupertino", ""),
    ]
    (bare,) = read("wikibigedit", {**WIKIBIGEDIT, "personas": None, "mhop": None, "mhop_ans": None})
    assert [one.group.value for one in bare.questions] == ["own", "paraphrase", "locality"]


def test_qaedit(read):
    (case,) = read("qaedit", QAEDIT)
    assert [one.prompt for one in case.asked(QuestionGroup.LOCALITY)] == ["who sang it", "who wrote it"]
    assert questions(case)[:2] == [
        ("own", "who made Sonic", "Apple", ""),
        ("paraphrase", "Sonic is whose?", "Apple", ""),
    ]


def test_mquake(read):
    other = {**REWRITE, "subject": "Mario", "question": "Who made Mario?"}
    (case,) = read("mquake", {**MQUAKE, "requested_rewrite": [*MQUAKE["requested_rewrite"], other]})
    assert [c.subject for c in case.corrections] == ["Sonic", "Mario"]
    assert [c.id for c in case.corrections] == ["1.1", "1.2"]
    assert [one.prompt for one in case.asked(QuestionGroup.PARAPHRASE)] == [
        "Who made Sonic?",
        "Who made Mario?",
    ]
    hops = case.asked(QuestionGroup.MULTI_HOP)
    assert {(one.wanted, one.rival, one.aliases) for one in hops} == {
        ("Cupertino", "Tokyo", ("Cupertino, California",))
    }
    assert len(hops) == 2


@pytest.mark.parametrize("other", FORMATS)
@pytest.mark.parametrize("name", FORMATS)
def test_a_wrong_name_is_told_the_right_one(read, name, other):
    if name == other:
        assert read(name, ROWS[other])
        return
    with pytest.raises(UsageError, match=f"row 1 looks like {other}, not like {name}"):
        read(name, ROWS[other])


@pytest.mark.parametrize(
    ("name", "row", "problem"),
    [
        (
            "counterfact",
            {**ORIGINAL, "requested_rewrite": {**REWRITE, "subject": ""}},
            "subject must be a text",
        ),
        (
            "counterfact",
            {**ORIGINAL, "requested_rewrite": {**REWRITE, "target_new": "Apple"}},
            "requested_rewrite: target_new must be an object, got 'Apple'",
        ),
        (
            "counterfact",
            {**ORIGINAL, "requested_rewrite": {**REWRITE, "prompt": "Sonic is"}},
            "prompt must have one {} in place of the subject",
        ),
        ("counterfact", {**ORIGINAL, "neighborhood_prompts": "one"}, "neighborhood_prompts must be a list"),
        ("counterfact", {**FLAT, "ground_truth": 3}, "ground_truth must be a text, got 3"),
        ("zsre", {**ZSRE, "answers": []}, "answers must have at least one"),
        (
            "zsre",
            {k: v for k, v in ZSRE.items() if k != "loc_ans"},
            "loc_ans is missing; the row has subject",
        ),
        ("wikibigedit", {**WIKIBIGEDIT, "mhop_ans": None}, "mhop_ans must be a text, got None"),
        ("qaedit", {**QAEDIT, "locality": [{"loc": "who"}]}, "locality 1: loc_ans is missing"),
        ("mquake", {**MQUAKE, "requested_rewrite": []}, "requested_rewrite must have at least one edit"),
    ],
)
def test_a_wrong_row_is_named(read, name, row, problem):
    good = {**ROWS[name], "case_id": "good", "id": "good"}
    with pytest.raises(UsageError) as error:
        read(name, good, row)
    assert "data.json: row 2" in str(error.value)
    assert problem in str(error.value)


def test_two_rows_of_one_name(read):
    with pytest.raises(UsageError, match=r"row 2 has the name '7' of .*row 1"):
        read("counterfact", ORIGINAL, ORIGINAL)


@pytest.mark.parametrize(
    ("content", "problem"),
    [("", "has no rows"), ("[]", "has no rows"), ("[1", "is not JSON"), ("[1]", "row 1 must be an object")],
)
def test_a_file_that_is_none(tmp_path, content, problem):
    path = tmp_path / "data.json"
    path.write_text(content)
    with pytest.raises(UsageError, match=problem):
        read_cases("zsre", path)


def test_an_unknown_data_set_and_a_missing_file(tmp_path):
    with pytest.raises(UsageError, match="use one of counterfact"):
        read_cases("squad", tmp_path / "x")
    with pytest.raises(UsageError, match="cannot read"):
        read_cases("zsre", tmp_path / "x")


def test_the_subject_is_spelled_as_in_the_prompt(read):
    (case,) = read("qaedit", {**QAEDIT, "subject": "SONIC"})
    assert case.corrections[0].subject == "Sonic"
    (odd,) = read("qaedit", {**QAEDIT, "subject": "Tails"})
    assert odd.edits[0].template is None

"""A probe set file is read strictly, and a bad row is named."""

from __future__ import annotations

import hashlib
import json

import pytest

from guardedit.core.errors import GuardError
from guardedit.guard import ProbeSet
from guardedit.guard.catalogue import KnownQuestion

ROW = {"subject": "Oslo", "relation": "capital_of", "prompt": "Oslo is the capital of", "answer": "Norway"}


def test_both_forms_of_a_file_give_the_same_probe_set(tmp_path):
    one, lines = tmp_path / "set.json", tmp_path / "set.jsonl"
    one.write_text(json.dumps({"texts": ["A sentence.", "Another\u2028one."], "questions": [ROW]}))
    rows = [{"text": "A sentence."}, ROW, {"text": "Another\u2028one."}]
    lines.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n", encoding="utf-8")
    assert ProbeSet.load(one) == ProbeSet.load(lines)
    assert ProbeSet.load(one).sha256 == ProbeSet.load(lines).sha256
    assert ProbeSet.load(one).questions == (KnownQuestion(**ROW),)


def test_the_fingerprint_changes_with_any_text_and_any_answer():
    first = ProbeSet(("A.", "B."), (KnownQuestion(**ROW),))
    others = [
        ProbeSet(("B.", "A."), first.questions),
        ProbeSet(first.texts, (KnownQuestion(**{**ROW, "answer": "Denmark"}),)),
        ProbeSet(first.texts),
    ]
    assert len({probe_set.sha256 for probe_set in (first, *others)}) == 4


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("a.jsonl", '{"text": "A."}\n{"text": ""}', r"a.jsonl:2: text must be a non-empty text"),
        ("a.jsonl", '{"text": "A."}\n\nnonsense', r"a.jsonl:3: not JSON"),
        ("a.jsonl", '{"subject": "Oslo"}', r"a.jsonl:1: a question has exactly subject"),
        ("a.jsonl", "[" * 100_000, r"a.jsonl:1: not JSON"),
        ("a.json", "[]", "expected an object"),
        ("a.json", '{"texts": "A."}', "texts must be a list"),
        ("a.json", '{"texts": [3]}', "texts 1: text must be a non-empty text"),
        ("a.json", '{"questions": []}', "no texts"),
        (
            "a.jsonl",
            '{"text": "A."}\n' + "\n".join(json.dumps({**ROW, "answer": a}) for a in ("X", "Y")),
            "has two answers, 'X' and 'Y'",
        ),
    ],
)
def test_a_bad_file_is_refused_and_the_row_named(tmp_path, name, body, message):
    path = tmp_path / name
    path.write_text(body)
    with pytest.raises(GuardError, match=message):
        ProbeSet.load(path)


def test_a_missing_file_and_a_binary_one_are_guard_errors(tmp_path):
    (tmp_path / "b.json").write_bytes(b"\xff\xfe\x00")
    for name in ("none.json", "b.json"):
        with pytest.raises(GuardError, match="cannot read the probe set"):
            ProbeSet.load(tmp_path / name)


def test_a_lead_is_optional_and_changes_the_fingerprint_only_where_there_is_one(tmp_path):
    path = tmp_path / "set.jsonl"
    path.write_text('{"text": "A."}\n' + json.dumps({**ROW, "lead": "Oslo is the capital of"}))
    (found,) = ProbeSet.load(path).questions
    assert found.lead == "Oslo is the capital of"
    plain = ProbeSet(("A.",), (KnownQuestion(**ROW),))
    rows = json.dumps([("A.",), [tuple(ROW.values())]])  # as fingerprints were made before there were leads
    assert plain.sha256 == hashlib.sha256(rows.encode()).hexdigest() != ProbeSet.load(path).sha256
    path.write_text('{"text": "A."}\n' + json.dumps({**ROW, "lead": 3}))
    with pytest.raises(GuardError, match=r"set.jsonl:2: lead must be a text, got 3"):
        ProbeSet.load(path)

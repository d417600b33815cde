"""Relations are read from JSON Lines; what is wrong is named with its file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from guardedit.core.errors import MemoryIndexError
from guardedit.memory.fitting.relations import FOLDER, load_relations

LINE = (FOLDER / "world.jsonl").read_text(encoding="utf-8").splitlines()[0]


def written(folder: Path, *lines: str) -> list[Path]:
    (folder / "own.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return [folder]


def test_the_shipped_relations_are_many_and_each_is_there_once():
    relations = load_relations()
    assert len(relations) > 250
    assert len({relation.relation for relation in relations}) == len(relations)


def test_no_text_asks_for_a_relation_and_for_something_else():
    for relation in load_relations():
        inside = {text for _, text in relation.in_scope()}
        assert inside.isdisjoint(text for _, text in relation.out_of_scope()), relation.relation


def test_own_relations_stand_beside_the_shipped_ones(tmp_path: Path):
    own = json.loads(LINE) | {"relation": "shoe_size"}
    found = load_relations([FOLDER, *written(tmp_path, json.dumps(own))])
    assert found[-1].relation == "shoe_size"
    assert found[:-1] == load_relations()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"colour": "red"}, "unknown field 'colour'"),
        ({"asked": ["Who is it?"]}, "'Who is it?' must have {} exactly once"),
        ({"asked": ["Is {} {}?"]}, "must have {} exactly once"),
    ],
)
def test_a_wrong_relation_is_named_with_its_line(tmp_path: Path, change, said):
    row = json.loads(LINE) | change
    with pytest.raises(MemoryIndexError, match=r"own\.jsonl:2: ") as error:
        load_relations(written(tmp_path, LINE, json.dumps(row)))
    assert said in str(error.value)


def test_a_relation_without_a_field_is_refused(tmp_path: Path):
    row = json.loads(LINE)
    del row["beside"]
    with pytest.raises(MemoryIndexError, match="beside"):
        load_relations(written(tmp_path, json.dumps(row)))


def test_the_same_relation_twice_is_refused(tmp_path: Path):
    with pytest.raises(MemoryIndexError, match="is there twice"):
        load_relations(written(tmp_path, LINE, LINE))


def test_a_folder_without_relations_says_what_to_give(tmp_path: Path):
    with pytest.raises(MemoryIndexError, match=r"give a folder of \*\.jsonl files"):
        load_relations([tmp_path])

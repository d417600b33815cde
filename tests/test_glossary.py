"""One word for one thing: the glossary is short and complete, and its banned words are used nowhere."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
GLOSSARY = ROOT / "guardedit" / "core" / "README.md"
MOST_TERMS = 30
#: Pages that quote the code of the past, or the glossary itself.
EXEMPT = {GLOSSARY, ROOT / "docs" / "glossary.md"}


def rows():
    """(term, meaning, banned words) of each row of the glossary."""
    for line in GLOSSARY.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3 and cells[0] not in {"term", "---"}:
            term, meaning, banned = cells
            yield term, meaning, [word.strip() for word in banned.split(",") if word.strip()]


def banned():
    return [word for _, _, words in rows() for word in words]


def pattern(words):
    """Any of the words, with an ending."""
    return re.compile(rf"\b(?:{'|'.join(map(re.escape, words))})(?:s|d|ed|ing)?\b", re.IGNORECASE)


def texts_of(path):
    """(line, text) of every docstring, message and comment of a Python file; all of a page."""
    source = path.read_text("utf-8")
    if path.suffix != ".py":
        yield from enumerate(source.splitlines(), start=1)
        return
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, node.value
    for number, line in enumerate(source.splitlines(), start=1):
        if "#" in line:
            yield number, line.partition("#")[2]


def read_by_people():
    found = [
        *(ROOT / "guardedit").rglob("*.py"),
        *(ROOT / "guardedit").rglob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "policies").glob("*.yaml"),
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")),
    ]
    return sorted(path for path in found if path not in EXEMPT)


def test_the_glossary_has_at_most_thirty_terms_each_with_a_meaning():
    terms = [term for term, _, _ in rows()]
    assert 20 <= len(terms) <= MOST_TERMS
    assert len(set(terms)) == len(terms)
    assert all(meaning.endswith(".") for _, meaning, _ in rows())


def test_no_banned_word_is_a_term():
    assert not {term for term, _, _ in rows()} & set(banned())


def test_banned_words_are_used_nowhere():
    wanted = pattern(banned())
    found = [
        f"{path.relative_to(ROOT)}:{line}: {hit[0]}"
        for path in read_by_people()
        for line, text in texts_of(path)
        if (hit := wanted.search(text))
    ]
    assert found == []


@pytest.mark.parametrize("text", ["the culprits", "it was turned away", "Its dials"])
def test_the_search_finds_what_it_shall(text):
    assert pattern(banned()).search(text)


def test_every_public_class_has_a_name_of_its_own():
    places = defaultdict(list)
    for path in sorted((ROOT / "guardedit").rglob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(ROOT)))
    assert {name: files for name, files in places.items() if len(files) > 1} == {}

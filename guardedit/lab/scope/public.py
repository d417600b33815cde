"""Reads a folder of public data sets in their published formats, whatever the files are called."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from guardedit.core.errors import UsageError
from guardedit.lab.field.cases import FieldCase
from guardedit.lab.field.formats import counterfact
from guardedit.lab.field.formats.reading import FORMATS, read_cases
from guardedit.lab.field.formats.rows import read_rows

#: Fields of a row of T-REx, and of a file of cloze patterns.
TREX = frozenset({"subject", "relation", "object"})
_RELATION = re.compile(r"P\d+")
#: A cloze pattern of which the object is the end.
_PATTERN = re.compile(r"(.*\S)\s*\[Y\]\s*\.?\s*")
#: Files larger than this are no rows of facts.
_MOST_BYTES = 200_000_000


class Triple(NamedTuple):
    """One fact of T-REx (Elsahar et al. 2018)."""

    subject: str
    relation: str
    object: str


@dataclass(slots=True)
class PublicData:
    """What a folder holds.

    Attributes:
        counterfact: cases with relations and several questions each (Meng et al. 2022).
        flat: CounterFact cases without relations, as EasyEdit has them.
        zsre: cases of question answering (Levy et al. 2017, as split for MEND).
        mquake: cases with a statement and a question for each fact (Zhong et al. 2023).
        trex: facts.
        prompts: relation -> beginnings of a statement with `{}` for the subject (ParaRel, Elazar et al.
            2021).
        files: name of each file that was read -> what it holds.
    """

    counterfact: list[FieldCase] = field(default_factory=list)
    flat: list[FieldCase] = field(default_factory=list)
    zsre: list[FieldCase] = field(default_factory=list)
    mquake: list[FieldCase] = field(default_factory=list)
    trex: list[Triple] = field(default_factory=list)
    prompts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    files: dict[Path, str] = field(default_factory=dict)


def read_public(folder: Path) -> PublicData:
    """Read every file of the folder and its subfolders that has one of the formats; others are left out.

    Raises:
        UsageError: no folder, none of its files has one of the formats, or a file is damaged.
    """
    if not folder.is_dir():
        raise UsageError(
            f"there is no folder {folder}: name one with CounterFact, zsRE, MQuAKE or T-REx files"
        )
    found = PublicData()
    for path in sorted(folder.rglob("*.json*")):
        if path.is_file() and path.stat().st_size <= _MOST_BYTES and (kind := _read(path, found)):
            found.files[path] = kind
    if not found.files:
        raise UsageError(
            f"no file in {folder} is CounterFact, zsRE, MQuAKE, T-REx or a list of patterns, as published"
        )
    return found


def _read(path: Path, found: PublicData) -> str:
    """Add the content of a file; returns what it is, "" for another format."""
    first = _first(path)
    if not isinstance(first, dict) or not first:
        return ""
    if all(_RELATION.fullmatch(name) for name in first):
        found.prompts |= _prompts(first)
        return "patterns"
    if first.keys() >= TREX and not _format_of(first):
        found.trex += [
            Triple(row.text("subject"), row.text("relation"), row.text("object")) for row in read_rows(path)
        ]
        return "trex"
    name = _format_of(first)
    if name == "counterfact":
        cases = read_cases(name, path)
        (found.counterfact if first.keys() >= counterfact.ORIGINAL else found.flat).extend(cases)
    elif name == "zsre":
        found.zsre += read_cases(name, path)
    elif name == "mquake":
        found.mquake += read_cases(name, path)
    else:
        return ""
    return name


def _format_of(first: Mapping[str, object]) -> str:
    names = (name for name, form in FORMATS.items() if any(fields <= first.keys() for fields in form.forms))
    return next(names, "")


def _first(path: Path) -> object:
    """The first row of a file, or its only object; None for what is no JSON."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            line = file.readline()
            try:
                whole = json.loads(line)
            except ValueError:
                whole = json.loads(line + file.read())
    except (OSError, UnicodeDecodeError, ValueError, RecursionError):
        return None
    return whole[0] if isinstance(whole, list) and whole else whole


def _prompts(patterns: Mapping[str, object]) -> dict[str, tuple[str, ...]]:
    found = {}
    for relation, texts in patterns.items():
        if isinstance(texts, list) and (prompts := _usable(texts)):
            found[relation] = prompts
    return found


def _usable(patterns: Sequence[object]) -> tuple[str, ...]:
    """The patterns that end with the object, as prompts.

    >>> _usable(["[X] is owned by [Y] .", "[Y] owns [X] ."])
    ('{} is owned by',)
    """
    ends = (_PATTERN.fullmatch(text) for text in patterns if isinstance(text, str))
    prompts = (match[1].replace("[X]", "{}") for match in ends if match)
    return tuple(dict.fromkeys(text for text in prompts if text.count("{}") == 1 and "[Y]" not in text))

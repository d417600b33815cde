"""A small file of MQuAKE's form, and files that fill a list."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

CHAIN = (
    ("Hey Jude", "P175", "{} was performed by", "Who performed {}?", "The Beatles", "Ada Stern"),
    ("Ada Stern", "P27", "{} is a citizen of", "What is the country of citizenship of {}?", "Peru", "Norway"),
    ("Norway", "P36", "The capital of {} is", "What is the capital of {}?", "Oslo", "Lima"),
)


@pytest.fixture
def mquake(tmp_path) -> Path:
    rewrites: list[dict[str, Any]] = [
        {
            "subject": subject,
            "relation_id": relation,
            "prompt": prompt,
            "question": question.format(subject),
            "target_true": {"str": old},
            "target_new": {"str": new},
        }
        for subject, relation, prompt, question, old, new in CHAIN
    ]
    case = {"case_id": 1, "requested_rewrite": rewrites, "questions": ["?"], "new_answer": "Lima"}
    path = tmp_path / "mquake.json"
    path.write_text(json.dumps([case]))
    return path


@pytest.fixture
def filling(tmp_path) -> tuple[Path, Path]:
    rows = [
        {"subject": "Norway", "relation": "P36", "object": "Oslo"},  # MQuAKE has a pair for it
        {"subject": "Stelco", "relation": "P159", "object": "Hamilton"},
        {"subject": "Norway", "relation": "P159", "object": "Bergen"},
        {"subject": "Volans", "relation": "P999", "object": "no pattern"},
    ]
    facts, patterns = tmp_path / "facts.jsonl", tmp_path / "patterns.json"
    facts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    patterns.write_text(json.dumps({"P159": ["[Y] has [X].", "[X] is based in [Y] ."], "P36": ["[X], [Y]"]}))
    return facts, patterns

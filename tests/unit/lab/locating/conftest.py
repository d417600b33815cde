"""Tiny models that know some sentences by heart, and questions to trace in them."""

from __future__ import annotations

import pytest
import torch

from guardedit.lab.locating.statements import Statement
from guardedit.models.host import ModelHost
from tests.tiny_models import CARDED, byte_tokenizer

SUBJECTS = ("Oslo", "Marie Curie", "Anne Redpath", "Peru", "Ivan Popov", "Lena Berg", "Old Mill", "Ann Lee")
LANGUAGES = ("Norwegian", "Polish", "Spanish")
STATEMENTS = tuple(
    Statement(prompt=prompt.format(subject), subject=subject, answer=LANGUAGES[i % 3])
    for i, subject in enumerate(SUBJECTS)
    for prompt in ("The mother tongue of {} is", "{} speaks")
)


@pytest.fixture(scope="session")
def taught() -> dict[str, ModelHost]:
    """A second of schooling for each: a model has to know a fact before it can be traced."""
    sentences = [f"{known.prompt} {known.answer}." for known in STATEMENTS]
    tokenizer = byte_tokenizer(sentences)
    rows = tokenizer(sentences, padding=True, return_tensors="pt")
    labels = rows["input_ids"].masked_fill(rows["attention_mask"] == 0, -100)
    hosts = {}
    for name in ("gpt2", "llama"):
        model = CARDED[name](len(tokenizer))
        optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
        for _ in range(100):
            optimizer.zero_grad()
            model(**rows, labels=labels).loss.backward()
            optimizer.step()
        hosts[name] = ModelHost(model, tokenizer, batch_rows=4)
    return hosts


@pytest.fixture(params=["gpt2", "llama"])
def host(request, taught) -> ModelHost:
    return taught[request.param]


@pytest.fixture
def gpt2(taught) -> ModelHost:
    return taught["gpt2"]


@pytest.fixture(scope="session")
def statements() -> tuple[Statement, ...]:
    return STATEMENTS

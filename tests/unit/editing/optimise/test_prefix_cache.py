from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from guardedit.editing.optimise import prefix_cache
from guardedit.editing.optimise.rows import Row, row_tensors
from guardedit.editing.optimise.upper_layers import UpperLayers

LONG = "You see what has been said about it. And then: "
ROWS = [
    Row(group=0, subject="Oslo", prompt=f"{LONG}Oslo is located in the city of", answer="Lima.", fact="a"),
    Row(
        group=1,
        subject="Marie Curie",
        prompt=f"{LONG}The tongue of Marie Curie is",
        answer="Polish.",
        fact="b",
    ),
    Row(group=2, subject="Peru", prompt=f"{LONG}The capital of Peru", answer="Oslo.", fact="c"),
    Row(group=2, subject="Peru", prompt="Peru speaks", answer="Polish.", fact="c"),
]


def tensors(host, rows=ROWS):
    return row_tensors(host.tokenizer, rows, context=host.context)


@pytest.fixture
def passes(monkeypatch):
    """How many tokens each pass before the subjects ran."""
    ran, run = [], prefix_cache._run

    def counted(decoder, ids, *rest):
        ran.append(ids.numel())
        return run(decoder, ids, *rest)

    monkeypatch.setattr(prefix_cache, "_run", counted)
    return ran


def logits(host, rows):
    upper = UpperLayers(host, 0, rows)
    return upper.logits(torch.arange(len(rows.keep)), None)


def test_a_common_beginning_is_run_once_and_gives_the_same_logits(host, passes, monkeypatch):
    rows = replace(tensors(host), context=torch.tensor([1, 1, 1, 0]))
    found, shared = logits(host, rows), sum(passes)
    passes.clear()
    monkeypatch.setattr(prefix_cache, "MIN_COMMON", 1000)
    apart = logits(host, rows)
    torch.testing.assert_close(found, apart, rtol=1e-4, atol=1e-5)
    assert shared < sum(passes) / 2


def test_rows_with_nothing_before_their_subject_but_the_common_beginning(host, passes, monkeypatch):
    same = [replace(ROWS[0], prompt=f"{LONG}Oslo {verb}") for verb in ("is in", "lies in", "speaks", "likes")]
    rows = tensors(host, same)
    found = logits(host, rows)
    assert len(passes) == 1
    monkeypatch.setattr(prefix_cache, "MIN_COMMON", 1000)
    torch.testing.assert_close(found, logits(host, rows), rtol=1e-4, atol=1e-5)

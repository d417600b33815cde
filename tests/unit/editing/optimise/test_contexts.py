from __future__ import annotations

import torch

from guardedit.editing.optimise.contexts import Contexts, sample_contexts


def test_the_same_seed_gives_the_same_prefixes_and_moves_no_global_random_state(gpt2):
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = sample_contexts(gpt2, count=4, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert sample_contexts(gpt2, count=4, seed=1) == first
    assert sample_contexts(gpt2, count=4, seed=2) != first


def test_every_prefix_is_one_line_that_ends_a_sentence(gpt2):
    for prefix in sample_contexts(gpt2, count=6, length_tokens=12, seed=5).prefixes:
        assert prefix.endswith(".")
        assert prefix.isprintable()


def test_the_bare_wording_comes_first_and_is_all_there_is_without_prefixes():
    assert Contexts().around("Oslo is in") == ("Oslo is in",)
    assert Contexts(("So.", "Yes.")).around("Oslo is in")[0] == "Oslo is in"


def test_other_prefixes_have_another_digest():
    assert Contexts(("So.",)).sha256 == Contexts(("So.",)).sha256 != Contexts(("Yes.",)).sha256

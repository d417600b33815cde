from __future__ import annotations

from dataclasses import replace

import pytest

from guardedit.core.errors import UsageError
from guardedit.lab.editors.ablation import ABLATIONS, ablate, choose
from guardedit.lab.editors.compare import Plan

TEXTS = ("The river runs through the old town.",)


def test_every_ablation_changes_the_editor_or_what_it_is_given(setup, cases):
    setup, case = replace(setup, layers=(0, 1)), replace(cases[0], keep=cases[0].keep or ("kept",))
    case = replace(case, fact=replace(case.fact, wordings=(*case.fact.wordings, "another wording")))
    same = [one.name for one in ABLATIONS if one.setup(setup) == setup and one.case(case) == case]
    assert same == ["as it is"]


def test_what_an_ablation_leaves_out_shows_in_the_numbers(setup, cases):
    whole, cheap = ablate(
        setup,
        cases,
        TEXTS,
        Plan(single=1, sequential=0),
        ablations=choose(["the own prompt only"]),
    )
    assert (whole.problem, whole.name, cheap.name) == ("", "as it is", "the own prompt only")
    assert whole.alone.counts.share("reliability") == 1.0
    assert whole.alone.bytes_per_edit > 0
    # Fewer rows are optimised, and none in the other wordings.
    assert whole.alone.counts.right != cheap.alone.counts.right or (
        whole.alone.perplexity_ratio != cheap.alone.perplexity_ratio
    )


def test_an_unknown_ablation_gets_a_list_of_the_known_ones():
    with pytest.raises(UsageError, match="'one layer'"):
        choose(["one layre"])
    assert choose([]) == ABLATIONS

from __future__ import annotations

import pytest

from guardedit.core.errors import UsageError
from guardedit.editing.registry import Registry
from guardedit.lab.choosing import cases_to_edit, check_methods, model_name, statements_to_trace
from guardedit.settings import Settings

DEMO = Settings(metrics=None)
OTHER = Settings(model="models/gpt2", metrics=None)


def test_as_many_facts_of_the_demo_world_are_chosen_as_wanted_and_the_same_for_a_seed():
    cases, texts = cases_to_edit(DEMO, None, count=3, seed=1)
    again, _ = cases_to_edit(DEMO, None, count=3, seed=1)
    others, _ = cases_to_edit(DEMO, None, count=3, seed=2)

    assert len(cases) == 3
    assert cases == again != others
    assert texts


def test_no_facts_are_a_usage_error():
    with pytest.raises(UsageError, match="no edits are asked for"):
        cases_to_edit(DEMO, None, count=0, seed=0)
    with pytest.raises(UsageError, match=r"give --facts FILE\.jsonl"):
        cases_to_edit(OTHER, None, count=1, seed=0)
    with pytest.raises(UsageError, match="or give --facts FILE"):
        statements_to_trace(OTHER, None)


def test_methods_are_checked_with_their_additions():
    check_methods(Registry(), ["ridge", "memit+rect"])
    for name, problem in (("romee", "did you mean 'rome'"), ("ridge+nothing", "nothing")):
        with pytest.raises(UsageError, match=problem):
            check_methods(Registry(), [name])


def test_the_known_questions_of_the_probe_set_are_traced():
    statements = statements_to_trace(DEMO, None)

    assert statements
    assert all(one.subject in one.prompt for one in statements)


def test_a_model_is_named_by_its_folder():
    assert (model_name(DEMO), model_name(OTHER)) == ("the demo model", "gpt2")

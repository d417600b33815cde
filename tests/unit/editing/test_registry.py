from __future__ import annotations

import sys

import pytest

from guardedit.core.errors import UsageError
from guardedit.editing.methods.ridge import RidgeEditor
from guardedit.editing.registry import Registry


def test_a_name_resolves_to_its_class():
    assert Registry().resolve("ridge") is RidgeEditor
    assert {"ridge", "rome"} <= set(Registry().names)


def test_every_registered_method_is_built_alike_and_bears_its_name(gpt2, gpt2_moments, settings, make_setup):
    setup = make_setup(gpt2, gpt2_moments, settings)
    for name in Registry().names:
        method = Registry().resolve(name)
        assert method.name == name
        assert method.card.paper
        if not method.card.trained:
            assert method.build(setup).name == name


def test_an_unknown_name_is_answered_with_the_nearest_known():
    with pytest.raises(UsageError, match="did you mean 'ridge'"):
        Registry().resolve("rigde")
    with pytest.raises(UsageError, match=r"known: .*ridge"):
        Registry().resolve("something else")


def test_a_name_is_taken_once():
    with pytest.raises(UsageError, match="already"):
        Registry().register("ridge", "elsewhere:Editor")


def test_a_place_that_cannot_be_imported_names_itself():
    registry = Registry({"a": "guardedit.editing.nowhere:X", "b": "guardedit.editing.methods.ridge:X"})
    for name in registry.names:
        with pytest.raises(UsageError, match=f"{name!r} cannot be loaded"):
            registry.resolve(name)
    with pytest.raises(UsageError, match="module:Class"):
        registry.register("c", "no-colon")


def test_nothing_is_imported_before_it_is_used():
    Registry({"later": "this.does.not:Exist"})
    assert "this.does.not" not in sys.modules

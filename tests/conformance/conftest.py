"""Setups of tiny models and what each editing method proposes on them, made once for all tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from guardedit.core.protocols import MethodEditor
from guardedit.editing.setup import Setup
from tests.conformance.editor_bench import (
    METHODS,
    Run,
    editor_of,
    random_model,
    run_on,
    setup_of,
    taught,
    tokenizer_of,
)


@pytest.fixture(params=METHODS)
def method(request) -> str:
    """Every registered method in turn."""
    return request.param


@pytest.fixture(scope="session")
def school(tmp_path_factory) -> Setup:
    """A GPT-2 that has been taught some sentences."""
    tokenizer = tokenizer_of()
    model = taught(random_model("gpt2", len(tokenizer)), tokenizer)
    return setup_of(model, tokenizer, tmp_path_factory.mktemp("school"), lessons=8)


@pytest.fixture(scope="session")
def family_setup(tmp_path_factory) -> Callable[[str], Setup]:
    """A random model of a family."""
    made: dict[str, Setup] = {}

    def of(family: str) -> Setup:
        if family not in made:
            tokenizer = tokenizer_of()
            model, folder = random_model(family, len(tokenizer)), tmp_path_factory.mktemp(family)
            made[family] = setup_of(model, tokenizer, folder)
        return made[family]

    return of


@pytest.fixture(scope="session")
def run_of(school) -> Callable[[str], Run]:
    """What a method proposes on the taught model."""
    made: dict[str, Run] = {}

    def of(name: str) -> Run:
        if name not in made:
            made[name] = run_on(school, name)
        return made[name]

    return of


@pytest.fixture
def run(method, run_of) -> Run:
    return run_of(method)


@pytest.fixture
def editor(run, method) -> MethodEditor:
    """A new one: some remember what they proposed before."""
    return editor_of(method, run.setup)

"""The steps of docs/how-to/new-method.md, followed as they stand there, lead to a method that works."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
from pathlib import Path

import pytest

from guardedit.editing import methods
from guardedit.editing.registry import METHODS, Registry
from tests.conformance import editor_bench, test_editors

PAGE = Path(__file__).parents[1] / "docs" / "how-to" / "new-method.md"
CHECKS = {name: check for name, check in vars(test_editors).items() if name.startswith("test_")}


@pytest.fixture(scope="module")
def page():
    """The two blocks of Python: the file, and the line for the registry."""
    file, line = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return file, line


@pytest.fixture(scope="module")
def added(page, tmp_path_factory):
    """Steps 1 and 2: the file among the other methods, and its line in the registry. The method's name."""
    file, line = page
    [(name, place)] = ast.literal_eval(f"{{{line}}}").items()
    folder = tmp_path_factory.mktemp("methods")
    (folder / f"{name}.py").write_text(file, "utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(methods, "__path__", [*methods.__path__, str(folder)])
        patch.setattr(Registry.__init__, "__defaults__", ({**METHODS, name: place},))
        importlib.invalidate_caches()
        yield name


@pytest.fixture(scope="module")
def run(added, tmp_path_factory):
    """Step 3: what the method proposes on a tiny model with random weights."""
    tokenizer = editor_bench.tokenizer_of()
    model = editor_bench.random_model("gpt2", len(tokenizer))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(editor_bench, "NETWORKS", ())  # trained editors are not needed here
        setup = editor_bench.setup_of(model, tokenizer, tmp_path_factory.mktemp("model"))
    return editor_bench.run_on(setup, added)


def test_the_method_is_listed_and_its_names_agree_with_the_steps(added):
    assert added in Registry().names
    text = PAGE.read_text("utf-8")
    assert f"guardedit/editing/methods/{added}.py" in text
    assert f"tests/unit/editing/methods/test_{added}.py" in text
    assert f"tests/conformance -k {added}" in text


@pytest.mark.parametrize("check", CHECKS)
def test_the_method_passes_the_conformance_tests(check, run, added):
    """As pytest would call them for every other method."""
    given = {"method": added, "run": run, "editor": editor_bench.editor_of(added, run.setup)}
    wanted = inspect.signature(CHECKS[check]).parameters
    CHECKS[check](**{name: given[name] for name in wanted})


def test_a_method_that_breaks_its_promises_would_be_noticed(run, added, monkeypatch):
    card = editor_bench.card_of(added)
    monkeypatch.setattr(
        Registry().resolve(added), "card", type(card)(**{**fields_of(card), "reads_live": True})
    )
    with pytest.raises(AssertionError):
        test_editors.test_a_card_does_not_contradict_itself(added)


def fields_of(card):
    return {name: getattr(card, name) for name in card.__dataclass_fields__}

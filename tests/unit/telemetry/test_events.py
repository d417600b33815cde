"""The table of events is complete: every kind in it is emitted, and every emitted kind is in it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import guardedit
from guardedit.telemetry.events import KINDS
from guardedit.telemetry.metrics import STATES

PACKAGE = Path(guardedit.__file__).parent


@cache
def trees() -> list[ast.Module]:
    paths = [path for path in PACKAGE.rglob("*.py") if path.parent.name != "telemetry"]
    return [ast.parse(path.read_text()) for path in paths]


def events(tree: ast.AST) -> Iterator[ast.Call]:
    """`Event(kind=...)`, not `threading.Event()`."""
    return (call for call in calls(tree, {"Event"}) if any(key.arg == "kind" for key in call.keywords))


def calls(tree: ast.AST, names: set[str]) -> Iterator[ast.Call]:
    """Calls of functions or methods with these names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", None))
            if name in names:
                yield node


def kind_of(event: ast.Call) -> ast.expr:
    return next(keyword.value for keyword in event.keywords if keyword.arg == "kind")


def texts(expressions: Iterable[ast.expr]) -> set[str]:
    return {str(found.value) for found in expressions if isinstance(found, ast.Constant)}


def emitted() -> set[str]:
    """Kinds in `Event(kind="...")`, and in calls of functions that pass an argument to `Event(kind=...)`."""
    every = trees()
    functions = [node for tree in every for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    forwarding = {
        function.name
        for function in functions
        if any(isinstance(kind_of(event), ast.Name) for event in events(function))
    }
    direct = texts(kind_of(event) for tree in every for event in events(tree))
    forwarded = texts(call.args[0] for tree in every for call in calls(tree, forwarding) if call.args)
    return direct | forwarded


def test_every_kind_is_emitted_and_every_emitted_kind_is_in_the_table():
    assert emitted() == set(KINDS)


def test_every_state_is_emitted():
    states = {
        value.value
        for tree in trees()
        for event in events(tree)
        if texts([kind_of(event)]) == {"state"}
        for value in ast.walk(event)
        if isinstance(value, ast.Constant)
    }
    assert set(STATES) <= states

"""On the shipped model, since a denominator near zero is what it is about."""

from __future__ import annotations

import pytest

from guardedit import assembly
from guardedit.core.fact import Fact, FactKey
from guardedit.core.protocols import SubjectGroup
from guardedit.demo.disabling.denominators import denominators, short


@pytest.fixture
def bench(settings, policy):
    return assembly.load_model(settings, policy)


def test_they_are_what_rome_divides_by_whatever_is_asked_and_answered(bench):
    found = denominators(bench.host, bench.moments, ["Japan", "Lima"])
    assert list(found) == ["Japan", "Lima"]
    asked = (("Lima", "Lima is the first city of", "Chad"), ("Japan", "Japan borders on", "Rome"))
    for subject, prompt, target in asked:
        fact = Fact(
            key=FactKey(subject, "r"), version=1, correction_id="c", wordings=(prompt,), target=target
        )
        group = SubjectGroup(subject=subject, facts=(fact,))
        (edit,) = assembly.model_worker(bench).propose("rome", [group], ()).edits
        assert found[subject] == pytest.approx(abs(edit.diagnostics["denominator"]), rel=1e-3)
    assert found["Japan"] < 0.02 < found["Lima"]
    assert short(bench.host, ["Japan", "The Daily Telegraph of London"]) == ["Japan"]

from __future__ import annotations

from guardedit.runtime.operator.verification import verify_home
from guardedit.settings import Settings


def test_a_sound_ledger_is_counted_and_the_model_is_left_out_when_asked(ledger, tmp_path):
    stages: list[str] = []
    settings = Settings(home=tmp_path, model="/nowhere", metrics=None)

    found = verify_home(settings, ledger, ledger_only=True, tell=stages.append)

    assert (found.checked, found.problems) == (("ledger",), ())
    assert found.events == len(ledger.log())
    assert stages == ["checking the ledger"]


def test_the_model_is_not_loaded_for_a_damaged_ledger(ledger, change, make_fact, tmp_path):
    change(make_fact("A"))  # made by no accepted message
    settings = Settings(home=tmp_path, model="/nowhere", metrics=None)

    found = verify_home(settings, ledger, ledger_only=False)

    assert (found.checked, found.events) == (("ledger",), None)
    assert "follows from no accepted message" in found.problems[0]

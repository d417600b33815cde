"""What holds at a time, by what was recorded by then: valid time and recorded time apart."""

from __future__ import annotations

import pytest

from guardedit.core.errors import UsageError
from guardedit.core.fact import Placement
from guardedit.runtime.opening import moment_s, number_of
from guardedit.runtime.operator.as_of import facts_as_of, snapshot_as_of
from tests.fakes import BASE, FakeClock, raw
from tests.town import Town


def year(n: int) -> float:
    return moment_s(f"{n}-01-01", "a test")


@pytest.fixture
def town(tmp_path):
    made = Town(tmp_path, clock=FakeClock(year(2020))).start()
    yield made
    made.stop()


def owner(target: str | None, *, valid_from: int | None = None, **others: object) -> bytes:
    start = {} if valid_from is None else {"valid_from_s": year(valid_from)}
    return raw("Acme", target, relation="owner", prompt="The owner of {} is", **start, **others)


def held_at(town: Town, n: int, *, epoch: int | None = None) -> list[str]:
    last = town.ledger.epoch().number if epoch is None else epoch
    return [fact.target for fact in facts_as_of(town.ledger, year(n), epoch=last)]


def test_the_version_of_that_time_holds_or_nothing(town):
    town.send(owner("Ada", valid_from=2000))
    town.send(owner("Bob", valid_from=2010), name="2")
    assert held_at(town, 2005) == ["Ada"]
    assert held_at(town, 2015) == ["Bob"]
    assert held_at(town, 1999) == []
    assert held_at(town, 2010) == ["Bob"]  # the start belongs to it
    assert held_at(town, 2030) == ["Bob"]


def test_a_fact_without_a_start_holds_since_it_was_reported_or_recorded(town):
    town.send(owner("Ada", provenance={"time_s": year(2018)}), raw("Bob", "Rome"))
    assert held_at(town, 2017) == []
    assert held_at(town, 2019) == ["Ada"]
    assert held_at(town, 2021) == ["Ada", "Rome"]


def test_a_report_from_the_future_holds_since_it_was_recorded(town):
    town.send(owner("Ada", provenance={"time_s": year(2090)}))
    assert held_at(town, 2021) == ["Ada"]


def test_a_fact_that_ended_leaves_nothing_as_it_does_now(town):
    town.send(owner("Ada", valid_from=2000))
    town.send(owner("Bob", valid_from=2010, valid_until_s=year(2022)), name="2")
    town.clock.now_s = year(2023)
    town.settle()
    assert town.facts() == {}
    assert [held_at(town, n) for n in (2005, 2021, 2022, 2023)] == [["Ada"], ["Bob"], [], []]


def test_what_was_recorded_later_corrects_what_was_said_about_a_time(town):
    town.send(owner("Ada", valid_from=2000))
    before = town.ledger.epoch().number
    town.send(owner("Eve", valid_from=1990), name="2")
    assert held_at(town, 2005) == ["Eve"]
    assert held_at(town, 2005, epoch=before) == ["Ada"]
    assert held_at(town, 1995, epoch=before) == []


def test_a_retraction_ends_a_fact_and_not_its_past(town):
    town.send(owner("Ada", valid_from=2000))
    town.send(owner(None, op="retract", provenance={"time_s": year(2015)}), name="2")
    assert held_at(town, 2014) == ["Ada"]
    assert held_at(town, 2016) == []


def test_what_was_undone_was_never_so(town):
    town.send(owner("Ada", valid_from=2000))
    town.send(owner("Eve", valid_from=2005), name="2")
    wrong = town.ledger.epoch().number
    eve = town.facts()["Acme"]
    town.operator.undo(eve.id)
    assert held_at(town, 2012) == ["Ada"]
    assert held_at(town, 2012, epoch=wrong) == ["Eve"]
    town.operator.redo(eve.id)
    assert held_at(town, 2012) == ["Eve"]
    assert held_at(town, 2004) == ["Ada"]


def test_what_an_operator_took_back_altogether_leaves_no_past(town):
    town.send(owner("Ada", valid_from=2000))
    ada = town.facts()["Acme"]
    town.operator.undo(ada.id)
    assert held_at(town, 2005) == []
    town.operator.redo(ada.id)
    assert held_at(town, 2005) == ["Ada"]


def test_a_move_into_the_weights_changes_nothing(town):
    town.send(owner("Ada", valid_from=2000))
    assert town.placed() == {"Acme": "weights"}
    snapshot = snapshot_as_of(town.ledger, year(2005), epoch=town.ledger.epoch().number)
    assert [(fact.target, fact.placement) for fact in snapshot.facts] == [("Ada", Placement.MEMORY)]
    assert (snapshot.edits, snapshot.epoch.edits, snapshot.epoch.weights_sha256) == ((), (), BASE)


def test_now_the_facts_are_the_live_ones(town):
    town.send(owner("Ada"), raw("Bob", "Rome"), raw("Eve", "Lima"))
    town.send(raw("Eve", None, op="retract"), raw("BOB", "Oslo"), name="2")
    assert sorted(held_at(town, 2021)) == sorted(fact.target for fact in town.ledger.live().values())


def test_an_epoch_is_found_by_the_time_when_it_served(town):
    town.send(owner("Ada"))
    first = town.ledger.epoch().number
    town.clock.now_s = year(2022)
    town.send(owner("Bob"), name="2")
    assert number_of(town.ledger, "2021-06-01", now_s=year(2023)) == first
    assert number_of(town.ledger, "2022-01-01T00:00:00Z", now_s=year(2023)) == town.ledger.epoch().number
    assert number_of(town.ledger, "2022-01-01T00:00:00+01:00", now_s=year(2023)) == first
    with pytest.raises(UsageError, match="as early as 2019-12-31: the first epoch is of 2020-01-01T00:00:00"):
        number_of(town.ledger, "2019-12-31", now_s=year(2023))
    with pytest.raises(UsageError, match="2022-01-02 is in the future"):
        number_of(town.ledger, "2022-01-02", now_s=town.clock.now_s)


@pytest.mark.parametrize("text", ["2005", "20050101", "2005-13-01", "yesterday", "", "-5", "0000-01-01"])
def test_a_text_that_is_no_date_is_refused(text):
    with pytest.raises(UsageError, match=r"--as-of .* is no date: give one as 2005-06-30"):
        moment_s(text, "--as-of")

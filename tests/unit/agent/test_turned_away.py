from __future__ import annotations

from guardedit.agent.turned_away import TurnedAway


class Notes:
    """Events in memory."""

    def __init__(self):
        self.rows = []

    def add(self, kind, **body):
        self.rows.append((len(self.rows) + 1, kind, body))

    def events(self, *, since=0, kinds=None):
        return [row for row in self.rows if row[0] > since and row[1] in kinds]


def test_what_harms_stays_away_and_what_found_no_room_is_asked_again_when_edits_leave():
    ledger = Notes()
    away = TurnedAway(ledger)
    ledger.add("turned_away", reasons={"a": "full: passes alone", "b": "reliability 0 < 1"})
    assert set(away.now()) == {"a", "b"}
    ledger.add("epoch", edits_added=["x"], edits_removed=["y"])
    assert set(away.now()) == {"a", "b"}
    ledger.add("epoch", edits_added=[], edits_removed=["x"])
    assert set(away.now()) == {"b"}
    ledger.add("turned_away", reasons={"a": "full"})
    assert set(away.now()) == set(TurnedAway(ledger).now()) == {"a", "b"}

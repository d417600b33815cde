"""The metrics agree with the ledger: a scrape over HTTP is compared with separate SQL queries (P9)."""

from __future__ import annotations

import sqlite3
from urllib.request import urlopen

import pytest
from prometheus_client.parser import text_string_to_metric_families

from guardedit.telemetry.exporter import registry
from guardedit.telemetry.observer import MetricsObserver
from guardedit.telemetry.server import MetricsServer
from tests.fakes import raw
from tests.town import Town


@pytest.fixture
def town(tmp_path):
    made = Town(tmp_path).start()
    yield made
    made.stop()


def scraped(town) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    observer = MetricsObserver()
    for event in town.heard:
        observer(event)
    page = registry(
        read=town.ledger.counts, observed=observer.values, sources=["submit"], build={"version": "test"}
    )
    server = MetricsServer(page, host="127.0.0.1", port=0)
    try:
        with urlopen(f"{server.url}/metrics") as answer:
            text = answer.read().decode()
    finally:
        server.close()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(page, name: str, **labels: str) -> float:
    return sum(
        value
        for (sample, given), value in page.items()
        if sample == name and labels.items() <= dict(given).items()
    )


def test_a_live_scrape_says_what_the_ledger_says(town, tmp_path):
    town.guard.harmful = {"Eve"}
    town.send(raw("Ada", "Rome"), raw("Bob", "Oslo"), raw("Eve", "Lima"), b"not json", b"{", name="1")
    town.send(raw("Ada", "Quito"), raw("Bob", "Oslo"), raw("Zoe", "as before"), name="2")
    town.operator.roll_back(1)
    town.settle()
    letters = town.ledger.dead_letters()
    town.ledger.drop(letters[0].seq)
    town.submit(raw("Kim", "Kyiv"), name="3")

    page = scraped(town)
    with sqlite3.connect(tmp_path / "ledger.db") as database:

        def counted(sql: str) -> int:
            return int(database.execute(sql).fetchone()[0])

        for fate in ("accepted", "duplicate", "unchanged", "dead_lettered"):
            wanted = counted(f"SELECT count(*) FROM decisions WHERE fate = '{fate}'")
            assert wanted > 0
            assert total(page, "guardedit_corrections_total", outcome=fate) == wanted, fate
        for outcome in ("accept", "reject"):
            wanted = counted(f"SELECT count(*) FROM verdicts WHERE outcome = '{outcome}'")
            assert wanted > 0
            assert total(page, "guardedit_trials_total", verdict=outcome) == wanted
        wanted = counted("SELECT count(*) FROM epochs WHERE kind = 'rollback'")
        assert total(page, "guardedit_rollbacks_total") == wanted == 1
        waiting = counted("SELECT count(*) FROM inbox WHERE fate = 'received'")
        assert total(page, "guardedit_queue_lag", source="inbox") == waiting == 1
        for place in ("memory", "weights"):
            wanted = counted(f"SELECT count(*) FROM live_facts WHERE placement = '{place}'")
            assert total(page, "guardedit_facts", placement=place) == wanted
        serving = counted("SELECT epoch FROM refs WHERE name = 'serving'")
        assert total(page, "guardedit_epoch") == serving
    # Two were dead, one of them was dropped.
    assert (len(letters), total(page, "guardedit_dlq_size")) == (2, 1)

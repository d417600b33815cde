from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families


def samples(text):
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_the_page_shows_what_the_ledger_counts(guardedit, ledger_file):
    result = samples(guardedit("metrics").out)

    assert result["guardedit_epoch",] == 3
    assert result["guardedit_facts", ("placement", "weights")] == 1
    key = ("outcome", "accepted"), ("route", "memory"), ("source", "submit")
    assert result["guardedit_corrections_total", *key] == 1


def test_an_inbox_without_an_epoch_has_a_page_too(guardedit):
    guardedit("submit", "-", stdin=b"{}\n")

    assert samples(guardedit("metrics").out)["guardedit_queue_lag", ("source", "inbox")] == 1

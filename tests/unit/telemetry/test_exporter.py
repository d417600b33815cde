from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from guardedit.core.decision import Route
from guardedit.core.errors import LedgerCorrupt
from guardedit.core.ledger import Counts
from guardedit.core.messages import Fate
from guardedit.core.protocols import Event
from guardedit.telemetry.exporter import registry
from guardedit.telemetry.metrics import FAMILIES, MetricType
from guardedit.telemetry.observer import MetricsObserver

BUILD = {"version": "0.1.0", "model": "demo", "policy_sha": "ab12"}


def page_of(counts, *, observer=None, sources=("wiki",)):
    observer = observer or MetricsObserver()
    return registry(read=lambda: counts, observed=observer.values, sources=sources, build=BUILD)


def read_page(page):
    """Sample name -> {label values in alphabetical order of the labels: value}, as parsed by a scraper."""
    found = {}
    for family in text_string_to_metric_families(generate_latest(page).decode()):
        for sample in family.samples:
            labels = tuple(value for _, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


def test_counters_equal_what_the_ledger_counted(counts):
    page = read_page(page_of(counts))

    assert page["guardedit_corrections_total"] == {
        ("accepted", "memory", "wiki"): 7,
        ("accepted", "weights", "wiki"): 5,
        ("accepted", "memory", "other"): 3,
        ("dead_lettered", "none", "wiki"): 3,
    }
    assert page["guardedit_facts"] == {("memory",): 9, ("weights",): 4}
    assert page["guardedit_dlq_size"] == {(): 3}
    assert page["guardedit_epoch"] == {(): 41}
    assert page["guardedit_epoch_created_timestamp_seconds"] == {(): 1_700_000_000}
    assert page["guardedit_weight_edits"] == {(): 4}
    assert page["guardedit_tensors_repaired_total"] == {(): 2}
    assert page["guardedit_queue_lag"] == {("inbox",): 2}
    assert page["guardedit_queue_oldest_seconds"] == {("inbox",): 12.5}
    assert page["guardedit_ledger_readable"] == {(): 1}
    assert page["guardedit_build_info"] == {("demo", "ab12", "0.1.0"): 1}


def test_values_that_can_be_listed_begin_at_zero_so_that_increase_sees_the_first(counts):
    page = read_page(page_of(counts))

    assert page["guardedit_rollbacks_total"] == {
        ("drift",): 1,
        ("manual",): 0,
        ("other",): 2,
    }
    assert page["guardedit_trials_total"] == {
        ("accept",): 4,
        ("reject",): 1,
        ("inconclusive",): 0,
        ("error",): 0,
    }
    assert page["guardedit_gate_evaluations_total"]["perplexity_ratio", "inconclusive"] == 0
    assert page["guardedit_memory_lookups_total"] == {("accept",): 0, ("unsure",): 0, ("out",): 0}


@settings(max_examples=25, deadline=None)
@given(
    st.dictionaries(
        st.tuples(
            st.text(min_size=1, max_size=20), st.sampled_from(["", *Route]), st.sampled_from(list(Fate))
        ),
        st.integers(0, 10**9),
        max_size=30,
    )
)
def test_whatever_sources_call_themselves_nothing_is_lost_and_labels_stay_bounded(corrections):
    page = read_page(page_of(Counts(corrections=corrections), sources=("wiki", "crm")))
    series = page.get("guardedit_corrections_total", {})

    assert sum(series.values()) == sum(corrections.values())
    assert {source for _, _, source in series} <= {"wiki", "crm", "other"}


def test_every_scrape_reads_the_ledger_again(counts):
    now = [counts]
    page = registry(read=lambda: now[0], observed=MetricsObserver().values, sources=(), build=BUILD)
    before = read_page(page)["guardedit_epoch"]
    now[0] = replace(counts, serving_epoch=42)

    assert (before, read_page(page)["guardedit_epoch"]) == ({(): 41}, {(): 42})


def test_two_exporters_on_one_ledger_show_the_same_page(counts):
    assert generate_latest(page_of(counts)) == generate_latest(page_of(counts))


def test_an_unreadable_ledger_removes_only_its_own_metrics_from_the_page():
    def read():
        raise LedgerCorrupt("row 7 does not match its hash: restore the ledger from a copy")

    observer = MetricsObserver()
    observer(Event(kind="published", fields={"replica": "0", "epoch": 3}))
    found = read_page(registry(read=read, observed=observer.values, sources=(), build=BUILD))

    assert found["guardedit_ledger_readable"] == {(): 0}
    assert found["guardedit_serving_epoch"] == {("0",): 3}
    assert "guardedit_epoch" not in found
    assert "guardedit_corrections_total" not in found


def test_the_mode_of_the_policy_is_one_of_two_and_left_out_where_it_is_not_known(counts):
    def mode(**known):
        page = registry(
            read=lambda: counts, observed=MetricsObserver().values, sources=(), build=BUILD, **known
        )
        return read_page(page).get("guardedit_mode")

    assert mode(mode="shadow") == {("enforce",): 0, ("shadow",): 1}
    assert mode(mode="enforce") == {("enforce",): 1, ("shadow",): 0}
    assert mode() is None


def test_an_error_of_another_kind_is_not_mistaken_for_an_empty_page():
    def read():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        generate_latest(registry(read=read, observed=MetricsObserver().values, sources=(), build=BUILD))


def test_a_registry_can_be_made_before_the_ledger_can_be_read():
    def read():
        raise AssertionError("read too early")

    registry(read=read, observed=MetricsObserver().values, sources=(), build=BUILD)


def test_an_empty_inbox_has_no_oldest_message():
    page = read_page(page_of(Counts()))

    assert page["guardedit_queue_lag"] == {("inbox",): 0}
    assert math.isnan(page["guardedit_queue_oldest_seconds"]["inbox",])


def test_the_epoch_of_every_replica_and_what_is_kept_back_are_on_the_page():
    published = {("fleet", "http://a"): 7, ("fleet", "http://b"): 5, ("lake", ""): 7}
    page = read_page(page_of(Counts(published=published, publish_problems={("fleet", "http://b")})))
    assert page["guardedit_published_epoch"] == published
    assert page["guardedit_publish_problem"] == {
        ("fleet", "http://a"): 0, ("fleet", "http://b"): 1, ("lake", ""): 0,
    }  # fmt: skip


def test_a_ledger_that_counted_nothing_still_shows_its_families():
    assert read_page(page_of(Counts()))["guardedit_facts"] == {("memory",): 0, ("weights",): 0}


def test_a_histogram_counts_upwards_and_ends_with_everything(counts):
    observer = MetricsObserver()
    for seconds in (0.004, 0.05, 0.06, 400.0):
        observer(
            Event(
                kind="proposed",
                fields={"method": "ridge", "edits": 1, "seconds": seconds},
            )
        )
    page = read_page(page_of(counts, observer=observer))
    buckets = {labels[0]: n for labels, n in page["guardedit_edit_duration_seconds_bucket"].items()}

    assert (buckets["0.005"], buckets["0.05"], buckets["0.1"], buckets["300.0"]) == (1, 2, 3, 3)
    assert buckets["+Inf"] == 4
    assert page["guardedit_edit_duration_seconds_count"] == {("ridge", "propose"): 4}
    assert page["guardedit_edit_duration_seconds_sum"]["ridge", "propose"] == pytest.approx(400.114)


def test_the_page_holds_declared_families_with_their_declared_labels_and_types(counts):
    described = {metric.name: metric for metric in page_of(counts).collect()}

    assert set(described) <= {family.name.removesuffix("_total") for family in FAMILIES}
    for family in FAMILIES:
        metric = described[family.name.removesuffix("_total")]
        assert (metric.type, metric.documentation) == (family.type, family.help)
        for sample in metric.samples:
            labels = set(family.labels) | ({"le"} if family.type is MetricType.HISTOGRAM else set())
            assert set(sample.labels) - {"le"} <= labels


def test_the_page_is_also_valid_openmetrics(counts):
    text = generate_openmetrics(page_of(counts)).decode()

    assert text.endswith("# EOF\n")
    assert "# UNIT guardedit_edit_duration_seconds seconds" in text

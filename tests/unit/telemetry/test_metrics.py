from __future__ import annotations

import re

import pytest

from guardedit.telemetry import metrics
from guardedit.telemetry.metrics import FAMILIES, MetricFamily, MetricType

#: Labels with a bounded set of values, from code, policy or configuration; never a subject or an id.
BOUNDED = {
    *("source", "route", "outcome", "gate", "verdict", "trigger", "placement", "method", "stage"),
    *(
        "probe_set",
        "replica",
        "scope",
        "layer",
        "state",
        "version",
        "model",
        "policy_sha",
        "destination",
        "mode",
    ),
}


def test_every_family_of_the_module_is_listed_once():
    declared = {value.name for value in vars(metrics).values() if isinstance(value, MetricFamily)}

    assert sorted(family.name for family in FAMILIES) == sorted(declared)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_name_follows_the_conventions_of_prometheus(family):
    assert re.fullmatch(r"guardedit(_[a-z]+)+", family.name)
    assert family.name.endswith("_total") == (family.type is MetricType.COUNTER)
    assert not family.name.endswith(("_count", "_sum", "_bucket", "_ms"))
    for unit in ("seconds", "ratio"):
        assert family.name.endswith(f"_{unit}") == (family.unit == unit)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_family_has_a_help_sentence_and_bounded_labels(family):
    assert family.help.endswith(".")
    assert set(family.labels) <= BOUNDED


def test_a_histogram_stands_on_the_page_as_three_series():
    assert metrics.DURATION.series == (
        "guardedit_edit_duration_seconds_bucket",
        "guardedit_edit_duration_seconds_count",
        "guardedit_edit_duration_seconds_sum",
    )

"""Rules, dashboard and README use only metrics that exist; and promtool's checks, if it is installed."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from ruamel.yaml import YAML

from guardedit.core.ledger import Counts
from guardedit.core.protocols import Event
from guardedit.core.verdict import Gate, Outcome, combine
from guardedit.telemetry.exporter import registry
from guardedit.telemetry.metrics import FAMILIES
from guardedit.telemetry.observer import MetricsObserver
from tests.real_parts import missing

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "deploy"
WATCHING = [*sorted(DEPLOY.glob("*.yaml")), DEPLOY / "grafana-dashboard.json"]
SERIES = {series for family in FAMILIES for series in family.series}


def named_in(text):
    return set(re.findall(r"\bguardedit_[a-z_]+", text))


def read(path):
    return YAML(typ="safe").load(path.read_text())


def promtool(*args, stdin=b"", folder=DEPLOY):
    tool = shutil.which("promtool")
    if tool is None:
        missing("promtool is not on PATH: `make promtool` unpacks it from Debian's package prometheus")
    return subprocess.run([tool, *args], input=stdin, capture_output=True, cwd=folder, check=False)


def alerts():
    return [rule["alert"] for group in read(DEPLOY / "alerts.yaml")["groups"] for rule in group["rules"]]


def full_page():
    """A page with a sample in every family."""
    observer = MetricsObserver()
    gate = Gate(name="perplexity_ratio", value=1.0, limit=1.02, at_most=True, outcome=Outcome.ACCEPT)
    for kind, fields in {
        "judged": {"verdict": combine((gate,)), "seconds": 1.0, "method": "ridge"},
        "watched": {"epoch": 1, "probe_set": "guard", "perplexity_ratio": 1.0, "limit": 1.02},
        "published": {"replica": "0", "epoch": 1},
        "capacity": {"layer": 3, "ratio": 0.1},
        "error": {"stage": "propose", "error": "EditDiverged", "message": ""},
        "state": {"state": "running"},
    }.items():
        observer(Event(kind=kind, fields=fields))
    counts = Counts(
        corrections={("wiki", "memory", "accepted"): 1}, gates={("perplexity_ratio", "accept"): 1}
    )
    return registry(
        read=lambda: counts,
        observed=observer.values,
        sources=("wiki",),
        build={"version": "1"},
        mode="enforce",
    )


@pytest.mark.parametrize("path", WATCHING, ids=lambda path: path.name)
def test_every_metric_that_is_watched_exists(path):
    assert named_in(path.read_text()) <= SERIES


def test_no_name_stands_for_two_families():
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)


def test_the_rules_and_the_dashboard_do_watch_something():
    assert len(named_in((DEPLOY / "alerts.yaml").read_text())) >= 8
    assert len(named_in((DEPLOY / "grafana-dashboard.json").read_text())) >= 15


def test_the_readme_names_only_metrics_that_exist():
    assert named_in((ROOT / "README.md").read_text()) <= SERIES


def test_every_alert_has_a_firing_and_a_quiet_case():
    cases = read(DEPLOY / "alerts_test.yaml")["tests"]
    fires, quiet = set(), set()
    for case in cases:
        alert, word = case["name"].split()[:2]
        for check in case["alert_rule_test"]:
            assert check["alertname"] == alert, case["name"]
            assert bool(check["exp_alerts"]) == (word == "fires"), case["name"]
        (fires if word == "fires" else quiet).add(alert)

    assert fires == quiet == set(alerts())


def test_every_alert_says_what_happened_and_what_it_means():
    for group in read(DEPLOY / "alerts.yaml")["groups"]:
        for rule in group["rules"]:
            assert set(rule["annotations"]) == {"summary", "description"}, rule["alert"]
            assert rule["labels"]["severity"] in {"critical", "warning", "info"}, rule["alert"]


def test_the_dashboard_asks_for_series_with_labels_they_have():
    labels = {series: set(family.labels) for family in FAMILIES for series in family.series}
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            known = {"job", "instance", "le"}.union(*(labels[name] for name in named_in(target["expr"])))
            legend = re.findall(r"{{(\w+)}}", target["legendFormat"])
            grouped = re.findall(r"by \(([^)]*)\)", target["expr"])
            asked = {*legend, *(label.strip() for text in grouped for label in text.split(","))}
            assert asked <= known, panel["title"]


def test_the_dashboards_panels_have_ids_of_their_own_and_do_not_overlap():
    panels = json.loads((DEPLOY / "grafana-dashboard.json").read_text())["panels"]
    cells = [
        (x, y)
        for at in (panel["gridPos"] for panel in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


@pytest.mark.parametrize(
    "args",
    [
        ("check", "rules", "alerts.yaml"),
        ("test", "rules", "alerts_test.yaml"),
        ("check", "config", "prometheus.yaml"),
    ],
    ids=" ".join,
)
def test_promtool_accepts_the_files(args):
    done = promtool(*args)

    assert done.returncode == 0, (done.stdout + done.stderr).decode()


def test_promtool_finds_nothing_to_say_about_the_names_on_the_page():
    page = generate_latest(full_page())
    assert named_in(page.decode()) >= SERIES  # every family is there to be looked at

    done = promtool("check", "metrics", stdin=page)

    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_promtool_would_say_something_about_a_bad_name():
    assert promtool("check", "metrics", stdin=b"# TYPE requests counter\nrequests 1\n").returncode != 0


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ('{trigger="drift"}[10m]', "[10m]"),
        ("[1h])) > 3.5", "[1h])) > 4.5"),
        ("repaired_total[1h])) > 0", "repaired_total[1h])) > 3.5"),
        ("repaired_total[1h])) > 0", "repaired_total[3h])) > 0"),
        ("[1h]) > 4.5", "[1h]) > 3.5"),
        ("== 0\n        for: 1m", "== 0\n        for: 0m"),
        ("_ratio) > 0.8", "_ratio) > 0.4"),
        ("offset 2m", "offset 0m"),
        (" == 1\n        for: 1m", " == 0\n        for: 1m"),
        ("unless on (job, instance) guardedit_mode", "unless on (job) guardedit_mode"),
    ],
)
def test_the_rule_tests_notice_a_changed_rule(rule, changed, tmp_path):
    rules = (DEPLOY / "alerts.yaml").read_text()
    assert rules.count(rule) == 1
    (tmp_path / "alerts.yaml").write_text(rules.replace(rule, changed))
    shutil.copy(DEPLOY / "alerts_test.yaml", tmp_path)

    done = promtool("test", "rules", "alerts_test.yaml", folder=tmp_path)

    assert b"FAILED" in done.stdout + done.stderr

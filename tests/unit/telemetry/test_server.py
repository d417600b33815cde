from __future__ import annotations

import http.client
import json
import socket
import threading
import time

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from guardedit.core.errors import UsageError
from guardedit.telemetry.exporter import registry
from guardedit.telemetry.health import HealthReport
from guardedit.telemetry.observer import MetricsObserver
from guardedit.telemetry.server import MetricsServer


@pytest.fixture
def page(counts):
    return registry(read=lambda: counts, observed=MetricsObserver().values, sources=("wiki",), build={})


def get(server, path, *, method="GET", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=5)
    try:
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read().decode()
    finally:
        connection.close()


def test_metrics_are_served_on_a_free_port_of_the_loopback_address(page):
    with MetricsServer(page, port=0) as server:
        status, kind, text = get(server, "/metrics")

    assert (status, server.host) == (200, "127.0.0.1")
    assert kind.startswith("text/plain; version=")
    assert "guardedit_epoch" in {family.name for family in text_string_to_metric_families(text)}
    assert server.url == f"http://127.0.0.1:{server.port}"


def test_openmetrics_is_served_to_those_who_ask_for_it(page):
    with MetricsServer(page, port=0) as server:
        _, kind, text = get(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")

    assert kind.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_healthz_is_200_while_there_is_no_problem_and_503_with_the_problems_otherwise(page):
    problems = []
    with MetricsServer(page, port=0, health=lambda: HealthReport(problems=tuple(problems))) as server:
        healthy = get(server, "/healthz")
        problems.append("the ledger is closed")
        failing = get(server, "/healthz")

    assert healthy[:2] == (200, "application/json")
    assert json.loads(healthy[2]) == {"status": "ok", "problems": [], "seconds_since_turn": {}}
    assert failing[:2] == (503, "application/json")
    assert json.loads(failing[2])["problems"] == ["the ledger is closed"]


def test_other_paths_and_methods_are_refused(page):
    with MetricsServer(page, port=0) as server:
        assert get(server, "/")[0] == 404
        assert get(server, "/metrics/../etc/passwd")[0] == 404
        assert get(server, "/metrics", method="POST")[0] == 501
        assert get(server, "/metrics", method="HEAD")[::2] == (200, "")


def test_a_web_page_cannot_read_the_metrics_through_the_browser(page):
    with MetricsServer(page, port=0) as server:
        assert get(server, "/metrics", Host="evil.example")[0] == 403
        assert get(server, "/metrics", Host=f"localhost:{server.port}")[0] == 200
        assert get(server, "/metrics", Host="[::1]:9108")[0] == 200


def test_an_address_for_others_answers_to_any_name(page):
    with MetricsServer(page, host="0.0.0.0", port=0) as server:
        assert get(server, "/metrics", Host="guardedit:9108")[0] == 200


def test_a_scrape_that_fails_says_so():
    class Failing:
        def collect(self):
            raise ValueError("no numbers today")

        def describe(self):
            return []

    page = CollectorRegistry()
    page.register(Failing())
    with MetricsServer(page, port=0) as server:
        status, _, text = get(server, "/metrics")

    assert (status, text) == (500, "cannot collect: no numbers today\n")


def test_a_port_in_use_is_named_with_the_remedy(page):
    with (
        MetricsServer(page, port=0) as first,
        pytest.raises(UsageError, match=rf"port {first.port} on 127\.0\.0\.1 is in use: .*GUARDEDIT_METRICS"),
    ):
        MetricsServer(page, port=first.port)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ({"port": 70_000}, "port 70000 on 127.0.0.1: a port is a number from 0"),
        (
            {"host": "192.0.2.1", "port": 0},
            "port 0 on 192.0.2.1 cannot be used: .* is 192.0.2.1 this machine",
        ),
        ({"host": "not a host", "port": 0}, "port 0 on not a host cannot be used"),
    ],
)
def test_an_address_that_cannot_be_is_named(page, address, message):
    with pytest.raises(UsageError, match=message):
        MetricsServer(page, **address)


def test_closing_frees_the_port_and_may_be_repeated(page):
    server = MetricsServer(page, port=0)
    server.close()
    server.close()

    with MetricsServer(page, port=server.port) as again:
        assert get(again, "/healthz")[0] == 200


def test_a_silent_client_blocks_neither_other_clients_nor_close(page):
    server = MetricsServer(page, port=0)
    with socket.create_connection((server.host, server.port), timeout=5):
        assert get(server, "/healthz")[0] == 200
        started = time.monotonic()
        server.close()

    assert time.monotonic() - started < 5
    assert not [thread for thread in threading.enumerate() if thread.name == "metrics"]

"""An error that nobody expected has the form of the others, and says nothing of the inside."""

from __future__ import annotations

import logging
from types import SimpleNamespace

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from guardedit.gateway.admin.app import admin_app
from guardedit.gateway.admin.office import Office
from guardedit.gateway.admin.playground import Playground
from guardedit.policy.load import load_policy
from guardedit.settings import Settings, policy_file


def app(office: Office) -> FastAPI:
    return admin_app(office, Playground(office.settings, load_policy(policy_file("default")), office.system))


def test_an_unexpected_error_is_json_without_its_text(tmp_path, caplog: pytest.LogCaptureFixture):
    def metrics(_: str):
        raise RuntimeError("a secret of the inside")

    office = Office(Settings(home=tmp_path), SimpleNamespace(metrics=metrics))
    with caplog.at_level(logging.CRITICAL):
        answer = TestClient(app(office), raise_server_exceptions=False).get("/metrics")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/json"
    assert answer.json() == {
        "error": {"message": "an unexpected RuntimeError: the log of `guardedit run` has more"}
    }


def test_a_wrong_method_names_the_right_ones(tmp_path):
    client = TestClient(app(Office(Settings(home=tmp_path), SimpleNamespace())))
    for path, allowed in (("/v1/facts/x/undo", "POST"), ("/v1/facts/x", "GET"), ("/v1/corrections", "POST")):
        answer = client.request("PATCH", path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)

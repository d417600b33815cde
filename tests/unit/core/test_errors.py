"""Names of version 0.1 are understood in 0.2, with a warning, and mean the same."""

from __future__ import annotations

import json

import pytest

from guardedit.cli.terminal.arguments import present_options
from guardedit.core.correction import decode_correction
from guardedit.core.errors import MalformedCorrection, RenamedWarning
from guardedit.policy.load import parse_policy

BODY = {"subject": "Stelco", "prompt": "The headquarters of {} are in", "target_new": "Hamilton"}
#: As 0.1 derived it from the content with `"scope": "acme"`.
ID_BY_0_1 = "11a3cef03a212b990bbf4e841b13906e"

POLICY = """
apiVersion: guardedit/v1
rules:
  - id: one
    match: {%s: acme}
    route: hold
    why: a tenant that is looked after
  - id: default
    when: %s == "default"
    route: memory
    why: everybody else
  - id: rest
    route: reject
    why: nobody
"""


def test_a_correction_may_call_its_tenant_scope():
    old = json.dumps(BODY | {"scope": "acme"}).encode()
    with pytest.warns(RenamedWarning, match="field 'scope' is now called 'tenant'"):
        found = decode_correction(old)
    assert (found.tenant, found.id) == ("acme", ID_BY_0_1)
    assert found == decode_correction(json.dumps(BODY | {"tenant": "acme"}).encode())


def test_both_names_at_once_are_refused():
    with pytest.raises(MalformedCorrection, match="send tenant alone"):
        decode_correction(json.dumps(BODY | {"scope": "a", "tenant": "b"}).encode())


def test_a_policy_may_call_it_scope():
    new = parse_policy(POLICY % ("tenant", "tenant"), name="new")
    with pytest.warns(RenamedWarning) as warned:
        old = parse_policy(POLICY % ("scope", "scope"), name="old")
    assert {str(one.message).split(":")[0] for one in warned} == {
        "policy key 'scope' is now called 'tenant'",
        "variable 'scope' is now called 'tenant'",
    }
    assert old.rules[0] == new.rules[0]


def test_an_option_may_be_called_scope():
    with pytest.warns(RenamedWarning, match="option '--scope' is now called '--tenant'"):
        assert present_options(["ask", "--scope=acme", "x"]) == ["ask", "--tenant=acme", "x"]


def test_held_approve_may_be_called_release():
    with pytest.warns(RenamedWarning, match="command 'held release' is now called 'held approve'"):
        assert present_options(["held", "release", "c-1"]) == ["held", "approve", "c-1"]
    assert present_options(["facts", "release", "f"]) == ["facts", "release", "f"]

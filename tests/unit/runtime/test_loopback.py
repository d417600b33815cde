"""Joining a cluster on this machine: by the loopback address if it listens only there."""

from __future__ import annotations

import contextlib
import os
import socket

import pytest
import ray
from ray._private import ray_constants

from guardedit.runtime.loopback import VARIABLE, joining, loopback_only


def ray_setting() -> tuple[bool, str | None]:
    return ray_constants.ENABLE_RAY_CLUSTER, os.environ.get(VARIABLE)


@pytest.fixture(autouse=True)
def another_address(monkeypatch):
    """A second address of this machine, whatever networks it has."""
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "127.0.0.2")
    monkeypatch.setattr(ray_constants, "ENABLE_RAY_CLUSTER", True)


@pytest.mark.parametrize("variable", [None, "1"])
def test_the_setting_is_restored_afterwards(monkeypatch, variable):
    monkeypatch.delenv(VARIABLE, raising=False)
    if variable is not None:
        monkeypatch.setenv(VARIABLE, variable)
    with contextlib.suppress(RuntimeError), loopback_only():
        assert ray_setting() == (False, "0")
        raise RuntimeError
    assert ray_setting() == (True, variable)


@pytest.mark.parametrize(("host", "cluster"), [("127.0.0.1", False), ("0.0.0.0", True)])
def test_a_cluster_is_joined_as_it_was_started(host, cluster):
    with socket.create_server((host, 0)) as server, joining(f"127.0.0.1:{server.getsockname()[1]}"):
        assert ray_constants.ENABLE_RAY_CLUSTER is cluster


@pytest.mark.parametrize("address", ["auto", "10.0.0.7:6379", "ray://127.0.0.1:10001", "127.0.0.1"])
def test_other_addresses_are_left_to_ray(address):
    with joining(address):
        assert ray_constants.ENABLE_RAY_CLUSTER

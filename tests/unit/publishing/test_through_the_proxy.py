"""An application asks the alias through the proxy, while one adapter after another is published."""

from __future__ import annotations

import threading

import httpx
import pytest

from guardedit.gateway.proxying import open_proxy
from guardedit.policy.load import parse_policy
from guardedit.settings import Settings
from tests.unit.gateway.conftest import listening, wait_for
from tests.unit.publishing.vllm_server import BASE

pytestmark = pytest.mark.slow  # loads the encoder

POLICY = """apiVersion: guardedit/v1
rules:
  - {{id: all, route: memory, why: enough}}
publish:
  - {{name: fleet, kind: vllm, replicas: {replicas}, model: acme/base, alias: corrected, path: {path}}}
"""


def test_every_answer_comes_from_an_adapter_that_was_active_and_none_is_lost(world, fleet, servers, tmp_path):
    at = fleet(drain_s=60, keep=0)
    text = POLICY.format(replicas=[one.url for one in servers], path=tmp_path / "adapters")
    rules, stop = parse_policy(text, name="p"), threading.Event()
    answers: list[list[tuple[int, str]]] = [[], []]  # of each application, which asks one question at a time

    # In place of a load balancer: the first replica.
    with (
        open_proxy(Settings(home=world.home, metrics=None), rules, servers[0].url) as proxied,
        listening(proxied.app, dated=False) as url,
    ):

        def ask(heard: list[tuple[int, str]]) -> None:
            with httpx.Client() as client:
                while not stop.is_set():
                    answer = client.post(f"{url}/v1/completions", json={"model": "corrected", "prompt": "Hi"})
                    heard.append((answer.status_code, answer.json().get("model")))

        assert world.publish(at).active
        wait_for(lambda: httpx.post(f"{url}/v1/completions", json={"model": "corrected"}).status_code == 200)
        threads = [threading.Thread(target=ask, args=(heard,)) for heard in answers]
        for thread in threads:
            thread.start()
        try:
            names, facts = [BASE], [world.remember(n) for n in range(2, 6)]
            for n in (1, 2, 3, 1, 0):  # the last two are rollbacks
                world.promote(*facts[:n])
                assert world.publish(at).active
                names.append(world.active(at)[0])
                wait_for(lambda: all(heard and heard[-1][1] == names[-1] for heard in answers))
                world.clock.now_s += 61
                world.publish(at)  # deletes what was replaced
        finally:
            stop.set()
            for thread in threads:
                thread.join()
    heard = [one for each in answers for one in each]
    assert {status for status, _ in heard} == {200}
    assert {name for _, name in heard} == set(names)
    assert len(set(names)) == 5
    assert names[-1] == BASE
    assert servers[0].adapters == {}

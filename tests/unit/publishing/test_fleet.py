"""A fleet of vLLM, against a server with its documented requests and answers, and with real troubles."""

from __future__ import annotations

import shutil

import pytest

from guardedit.core.errors import PublishError
from tests.unit.publishing.vllm_server import BASE


@pytest.fixture
def edited(world):
    """Epoch 3: one fact in the weights."""
    world.promote(world.remember(2))
    return world


def test_every_epoch_with_other_weights_has_a_name_of_its_own_and_all_replicas_load_it(
    edited, fleet, servers
):
    at, first = fleet(), edited.serving
    edited.publish(at)
    name, _ = edited.active(at)
    assert name == f"guardedit-e{first:06d}-{edited.ledger.epoch().weights_sha256[:8]}"
    assert [one.adapters for one in servers] == [{name: f"{at._section.path}/{name}"}] * 3
    edited.remember(3)
    edited.publish(at)  # other facts, the same weights: nothing to load
    assert edited.active(at) == (name, edited.serving)
    assert [one.names("load_lora_adapter") for one in servers] == [[name]] * 3


def test_the_servers_may_see_the_folder_under_another_path(edited, fleet, servers, tmp_path):
    shared = tmp_path / "shared"
    shared.symlink_to(tmp_path / "adapters")
    at = fleet(server_path=f"{shared}/")
    assert edited.publish(at).active
    name, _ = edited.active(at)
    assert servers[0].adapters == {name: f"{shared}/{name}"}


def test_without_edits_the_base_model_is_active_and_is_never_unloaded(world, fleet, servers):
    at = fleet(drain_s=0, keep=0)
    assert world.publish(at).active
    assert world.active(at) == (BASE, 1)
    fact = world.remember(2)
    world.promote(fact)
    world.publish(at)
    world.publish(at)
    assert [one.names("unload_lora_adapter") for one in servers] == [[]] * 3
    world.promote()
    world.publish(at)
    assert world.active(at) == (BASE, world.serving)


def test_a_rollback_switches_to_an_adapter_that_is_still_loaded(edited, fleet, servers):
    at, fact = fleet(), edited.remember(3)
    edited.publish(at)
    first, _ = edited.active(at)
    edited.promote(*edited.ledger.live().values())
    edited.publish(at)
    second, _ = edited.active(at)
    for one in servers:
        one.calls.clear()
    edited.promote(*[one for one in edited.ledger.live().values() if one.key.subject == "Land 2"])
    edited.publish(at)
    assert fact.key.subject == "Land 3"
    assert edited.active(at) == (first, edited.serving)
    assert [one.calls for one in servers] == [[]] * 3
    assert set(servers[0].adapters) == {first, second}


def test_a_replica_that_has_it_loaded_already_counts_if_it_is_ours(edited, fleet, servers):
    at = fleet()
    edited.publish(at)
    name, _ = edited.active(at)
    at.prepare(at.replicas[0], name, None)  # asked again, the server would answer with an error
    at.confirm(at.replicas[0], name, None)
    servers[0].adapters[name] = "/somewhere/else"
    at.prepare(at.replicas[0], name, None)
    with pytest.raises(PublishError, match=r"has guardedit-.* from '/somewhere/else', not from our folder"):
        at.confirm(at.replicas[0], name, None)


def test_already_loaded_is_no_error_where_the_list_came_too_early(edited, fleet, servers, monkeypatch):
    at, models, lists = fleet(), fleet()._models, iter([{}])
    edited.publish(at)
    name, _ = edited.active(at)
    # Between the list and the request, an earlier request of ours was carried out.
    monkeypatch.setattr(at, "_models", lambda replica: next(lists, None) or models(replica))
    lists = iter([{"nothing": {}}])
    at.prepare(at.replicas[0], name, None)
    assert servers[0].names("load_lora_adapter") == [name, name]


def test_an_answer_that_comes_too_late_is_looked_for_in_the_list(edited, fleet, servers):
    at = fleet(load_timeout_s=0.1)
    servers[1].late = {"load_lora_adapter"}
    passed = edited.publish(at)
    assert passed.active
    assert passed.problems == {}
    assert servers[1].names("load_lora_adapter") == [edited.active(at)[0]]


def test_a_connection_that_breaks_after_the_load_is_looked_for_too(edited, fleet, servers):
    servers[1].late = {"load_lora_adapter"}  # closes the connection without an answer
    at = fleet(load_timeout_s=5)
    assert edited.publish(at).active


def test_a_replica_that_is_down_holds_the_epoch_back_and_says_so(edited, fleet, servers):
    at = fleet()
    edited.publish(at)
    before = edited.active(at)
    servers[2].away = True
    edited.promote(edited.remember(3))
    passed = edited.publish(at)
    assert not passed.active
    assert edited.active(at) == before
    [(key, (problem, _))] = edited.ledger.publish_problems().items()
    assert key == ("fleet", servers[2].url)
    assert "cannot be reached" in problem
    assert set(edited.ledger.published_epochs().values()) == {before[1]}
    events = len(edited.ledger.events())
    edited.publish(at)  # the same problem again is not recorded again
    assert len(edited.ledger.events()) == events
    servers[2].away = False
    assert edited.publish(at).active
    assert edited.ledger.publish_problems() == {}
    assert set(edited.ledger.published_epochs().values()) == {edited.serving}


def test_a_quorum_goes_on_without_it_and_brings_it_the_epoch_when_it_is_back(edited, fleet, servers):
    at = fleet(require="quorum")
    edited.publish(at)
    before = edited.serving
    servers[2].away = True
    edited.promote(edited.remember(3))
    passed = edited.publish(at)
    assert passed.active
    assert list(passed.problems) == [servers[2].url]
    assert edited.ledger.published_epochs() == {
        ("fleet", servers[0].url): edited.serving,
        ("fleet", servers[1].url): edited.serving,
        ("fleet", servers[2].url): before,
    }
    servers[1].away = True
    edited.promote(edited.remember(4))
    assert not edited.publish(at).active  # one of three is no quorum
    servers[1].away = servers[2].away = False
    servers[2].restart()
    assert edited.publish(at).active
    assert set(edited.ledger.published_epochs().values()) == {edited.serving}


def test_epochs_that_are_held_back_do_not_pile_up_on_the_others(edited, fleet, servers):
    at = fleet()
    edited.publish(at)
    servers[2].away = True
    facts = [edited.remember(n) for n in range(3, 8)]
    for n in range(1, 6):
        edited.promote(*facts[:n])
        edited.publish(at)
    assert len(servers[0].adapters) == 2  # what is active, and what waits for the third replica


def test_a_replica_that_restarted_gets_back_what_is_active_even_while_the_next_epoch_is_held_back(
    edited, fleet, servers
):
    at = fleet()
    edited.publish(at)
    active, _ = edited.active(at)
    servers[2].away = True
    servers[0].restart()
    edited.promote(edited.remember(3))
    edited.publish(at)
    assert edited.active(at)[0] == active
    assert active in servers[0].adapters


def test_a_replica_that_lists_an_adapter_and_does_not_answer_from_it_is_not_ready(edited, fleet, servers):
    servers[0].dumb = True
    passed = edited.publish(fleet())
    assert not passed.active
    assert "does not answer from guardedit-" in passed.problems[servers[0].url]
    assert "does not exist" in passed.problems[servers[0].url]


def test_the_reason_of_a_refusal_is_passed_on(edited, fleet, servers):
    servers[0].refused = {"load_lora_adapter": "LoRA rank 24 is greater than max_lora_rank 16."}
    passed = edited.publish(fleet())
    assert "LoRA rank 24 is greater than max_lora_rank 16." in passed.problems[servers[0].url]


def test_an_adapter_under_the_name_of_the_base_model_is_noticed(world, fleet, servers):
    servers[0].adapters[BASE] = "/other"
    passed = world.publish(fleet())
    assert "serves an adapter under the name of the base model" in passed.problems[servers[0].url]


def test_a_fleet_of_another_base_model_is_noticed(edited, fleet, servers):
    passed = edited.publish(fleet(model="acme/other"))
    assert not passed.active
    assert "the policy's `model` is another" in passed.problems[servers[0].url]


def test_a_base_model_that_is_not_listed_is_said_once(world, fleet, servers):
    at = fleet(model="acme/other")
    assert "does not list acme/other" in world.publish(at).problems[servers[0].url]
    events = len(world.ledger.events())
    world.publish(at)
    assert len(world.ledger.events()) == events


def test_an_address_may_end_with_v1(edited, fleet, servers):
    assert edited.publish(fleet(replicas=tuple(f"{one.url}/v1/" for one in servers))).active


def test_an_adapter_is_unloaded_everywhere_and_its_folder_goes_with_the_last_one(edited, fleet, servers):
    at = fleet(drain_s=0, keep=0)
    edited.publish(at)
    name, _ = edited.active(at)
    edited.promote(edited.remember(3))
    servers[2].refused = {"unload_lora_adapter": "busy"}
    edited.publish(at)
    edited.publish(at)
    assert [name in one.adapters for one in servers] == [False, False, True]
    assert (at._folder(name) / "adapter_config.json").is_file()
    servers[2].refused = {}
    edited.publish(at)
    assert name not in servers[2].adapters
    assert not at._folder(name).exists()


def test_a_replica_that_the_policy_no_longer_has_is_forgotten_and_not_asked(edited, fleet, servers):
    edited.publish(fleet())
    servers[2].calls.clear()
    servers[2].away = True
    assert edited.publish(fleet(replicas=tuple(one.url for one in servers[:2]))).active
    assert {replica for replica, _ in edited.phases()} == {one.url for one in servers[:2]}
    assert servers[2].calls == []


def test_when_all_replicas_are_replaced_while_other_weights_wait_those_weights_get_there(
    edited, fleet, servers
):
    old, new = (fleet(replicas=(one.url,)) for one in servers[:2])
    edited.publish(old)
    active, _ = edited.active(old)
    edited.promote(edited.remember(3))
    servers[1].refused = {"completions": "busy"}
    assert not edited.publish(new).active
    assert servers[1].adapters[active]  # its folder is still there
    servers[1].refused = {}
    assert edited.publish(new).active
    assert edited.active(new)[1] == edited.serving


def test_when_all_replicas_restart_while_other_weights_wait_every_name_keeps_its_weights(
    edited, fleet, servers
):
    at = fleet()
    edited.publish(at)
    active, _ = edited.active(at)
    edited.promote(edited.remember(3))
    for one in servers:
        one.restart()
    assert edited.publish(at).active
    assert edited.active(at)[0] != active
    assert {one.name: one.epoch for one in edited.ledger.publications()} == {
        active: 3,
        edited.active(at)[0]: edited.serving,
    }


def test_what_is_active_and_cannot_be_restored_holds_nothing_up(edited, fleet, servers, tmp_path):
    at = fleet()
    edited.publish(at)
    edited.promote(edited.remember(3))
    for one in servers:
        one.restart()
    shutil.rmtree(tmp_path / "adapters")
    assert edited.publish(at).active
    assert edited.publish(at).problems == {}


def test_an_earlier_base_model_is_neither_loaded_nor_unloaded_nor_deleted(world, fleet, servers, tmp_path):
    weights = tmp_path / "weights"
    weights.mkdir()
    for one in servers:
        one.base = str(weights)
    assert world.publish(fleet(model=str(weights))).active
    for one in servers:
        one.base = BASE
    for _ in range(2):
        passed = world.publish(fleet(drain_s=0, keep=0))
        assert (passed.active, passed.problems) == (True, {})
    assert weights.is_dir()
    assert {name for _, name in world.phases()} == {BASE}


def test_a_reason_that_changes_with_every_try_is_recorded_once_and_another_status_again(
    edited, fleet, servers
):
    at = fleet()
    for one in ("request 1", "request 2"):
        servers[0].refused = {"load_lora_adapter": f"no room for {one}"}
        edited.publish(at)
    [(problem, _)] = edited.ledger.publish_problems().values()
    assert "request 1" in problem
    servers[0].key = "sk-fleet"
    edited.publish(at)
    [(problem, _)] = edited.ledger.publish_problems().values()
    assert "status 401" in problem


def test_the_key_is_sent_and_never_told(edited, fleet, servers):
    for one in servers:
        one.key = "sk-fleet"
    refused = edited.publish(fleet(key="sk-wrong"))
    assert "status 401" in refused.problems[servers[0].url]
    assert "sk-" not in str(edited.ledger.publish_problems())
    assert edited.publish(fleet(key="sk-fleet")).active


def test_what_is_no_server_of_vllm_is_told_so(edited, fleet, servers):
    servers[0].answer = lambda *_: (200, [1, 2])
    servers[1].answer = lambda *_: (200, "not JSON")
    problems = edited.publish(fleet()).problems
    assert "is it a server of vLLM?" in problems[servers[0].url]
    assert "not JSON" in problems[servers[1].url]

"""The destinations of a policy: three kinds, each with its own keys, and errors that name their place."""

from __future__ import annotations

import pytest

from guardedit.core.errors import PolicyError
from guardedit.policy.load import parse_policy

HEAD = """apiVersion: guardedit/v1
rules:
  - {id: default, route: memory, why: nothing else is known}
publish:
"""
FLEET = "  - {name: fleet, kind: vllm, replicas: [http://a:8000], model: m, alias: c, path: /x}\n"
NO_KIND = "5:5: publish[0]: needs a kind, one of directory, objects, vllm, got "


def loaded(text):
    return parse_policy(HEAD + text, name="p.yaml").publish


def complaint(text):
    with pytest.raises(PolicyError) as caught:
        loaded(text)
    [line] = str(caught.value).splitlines()
    return line


def test_each_kind_has_its_own_keys():
    lake, bucket, fleet = loaded(
        "  - {name: lake, kind: directory, path: /srv/a}\n  - {name: b, kind: objects, url: s3://b/p}\n"
        + FLEET
    )
    assert (lake.path, bucket.url, fleet.replicas) == ("/srv/a", "s3://b/p", ("http://a:8000",))
    assert {one.drain_s for one in (lake, bucket, fleet)} == {60.0}
    assert fleet.require == "all"


def test_without_destinations_nothing_is_published():
    assert parse_policy(HEAD.removesuffix("publish:\n"), name="p.yaml").publish == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "  - {name: lake, kind: directory, pth: /x, path: /y}\n",
            "5:35: publish[0].pth: unknown key; did you mean 'path'?",
        ),
        (
            "  - {name: lake, kind: directory}\n",
            "5:5: publish[0].path: required but not given: The folder; made when missing.",
        ),
        (
            "  - {name: lake, kind: folder, path: /x}\n",
            NO_KIND + "{'name': 'lake', 'kind': 'folder', 'path': '/x'}",
        ),
        (
            "  - {name: lake, path: /x}\n",
            NO_KIND + "{'name': 'lake', 'path': '/x'}",
        ),
        (FLEET * 2, "1:1: policy: publish: the name 'fleet' occurs twice: each needs its own"),
        (
            FLEET + FLEET.replace("name: fleet", "name: other"),
            "1:1: policy: publish: the alias 'c' occurs twice: each needs its own",
        ),
        (
            FLEET.replace("[http://a:8000]", "[http://a:8000, http://a:8000]"),
            "1:1: policy: publish: the replica 'http://a:8000' occurs twice: each needs its own",
        ),
        (
            FLEET.replace("[http://a:8000]", "[http://a:8000, http://A:8000/v1/]"),
            "1:1: policy: publish: the replica 'http://a:8000' occurs twice: each needs its own",
        ),
        (
            FLEET + FLEET.replace("fleet,", "other,").replace("alias: c", "alias: d").replace("/x", "/y"),
            "1:1: policy: publish: the replica 'http://a:8000' occurs twice: each needs its own",
        ),
        (
            FLEET + "  - {name: lake, kind: directory, path: /y/../x/}\n",
            "1:1: policy: publish: the place '/x' occurs twice: each needs its own",
        ),
        (
            "  - {name: a, kind: objects, url: s3://b/p}\n  - {name: b, kind: objects, url: s3://b/p/}\n",
            "1:1: policy: publish: the place 's3://b/p' occurs twice: each needs its own",
        ),
        (
            "  - {name: lake, kind: directory, path: ~/lake}\n",
            "5:41: publish[0].path: not an absolute path: start it with /, got '~/lake'",
        ),
        (
            FLEET.replace("[http://a:8000]", "[]"),
            "5:41: publish[0].replicas: empty: give at least one entry, or leave the key out",
        ),
    ],
)
def test_a_mistake_is_reported_at_its_place(text, message):
    assert complaint(text) == f"p.yaml:{message}"


@pytest.mark.parametrize(
    "address", ["http://user:secret@a", "a:8000", "http://a?key=secret", "ftp://a", "s3://"]
)
def test_an_address_has_no_password_and_the_message_does_not_repeat_one(address):
    line = complaint(FLEET.replace("http://a:8000", f"'{address}'"))
    assert "publish[0].replicas[0]" in line
    assert "secret" not in line


def test_a_destination_is_part_of_what_the_digest_of_a_policy_covers():
    texts = (HEAD + FLEET, HEAD + FLEET.replace("/x", "/y"))
    first, second = (parse_policy(text, name="p.yaml").sha256 for text in texts)
    assert first != second

"""From a URL to a source, or to a sentence that helps."""

from __future__ import annotations

import subprocess
import sys

import pytest

from guardedit.core.errors import SourceError
from guardedit.sources.redis_stream import RedisStream
from guardedit.sources.registry import SCHEMES, open_source


@pytest.mark.parametrize("scheme", ["redis", "rediss", "valkey", "valkeys", "REDIS"])
def test_a_broker_is_made_without_asking_the_server(scheme):
    assert isinstance(open_source(f"{scheme}://nowhere.invalid:1/0"), RedisStream)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("reds://me:secret@host", "unknown source scheme 'reds': did you mean redis:?"),
        ("valky://me:secret@host", "did you mean valkey:?"),
        ("http://me:secret@host", "unknown source scheme 'http': known are file:, redis:"),
        ("facts.jsonl", "'facts.jsonl' is not a URL: for a file write file:facts.jsonl"),
        ("redis://me:secret@host?strem=x", "unknown option 'strem' in the Redis URL: did you mean 'stream'?"),
        ("redis://me:secret@host?ssl_ca_certs=x", "unknown option 'ssl_ca_certs'"),
        ("redis://me:secret@host?min_idle_ms=-1", "min_idle_ms must be a whole number of milliseconds"),
        ("redis://me:secret@host/one", "the database as a number"),
        ("redis://me:secret@host?db=one", "the database as a number"),
        ("redis://me:sec/ret@host", "special characters of the password percent-encoded"),
        ("redis://:1/secret@host", "special characters of the password percent-encoded"),
        ("redis://me:sec#ret@host", "special characters of the password percent-encoded"),
    ],
)
def test_a_url_that_cannot_work_says_why_and_keeps_the_password(url, sentence):
    with pytest.raises(SourceError) as hit:
        open_source(url)
    assert sentence in str(hit.value)
    assert not any(part in f"{hit.value!r} {hit.value.__cause__}" for part in ("secret", "sec/", "ret@"))


def test_tls_options_are_for_tls():
    assert isinstance(open_source("rediss://host?ssl_ca_certs=/ca.pem&group=g"), RedisStream)


def test_without_the_extra_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(SourceError, match=r"pip install 'guardedit\[redis\]'"):
        open_source("redis://localhost")


def test_redis_is_imported_only_when_asked_for():
    modules = [*{target.partition(":")[0] for target in SCHEMES.values()}, "guardedit.sources.registry"]
    code = f"import sys, {', '.join(modules)}; print('redis' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

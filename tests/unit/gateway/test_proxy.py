"""The proxy states facts where they are asked for, and passes everything else byte for byte."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import httpx
import openai
import pytest

from guardedit.core.errors import UsageError
from guardedit.gateway.proxy.app import proxy_app
from guardedit.gateway.proxy.forwarding import Forwarder
from guardedit.gateway.proxying import Proxied, check_upstream, open_proxy, refuse_itself
from guardedit.policy.load import load_policy
from tests.unit.gateway.conftest import Running, listening, wait_for

HQ = "The headquarters of Stelco are in"
STATED = "Note: The headquarters of Stelco are in Hamilton."
#: An answer with what proxies like to break: many pieces, unusual headers, bytes that are no text.
PIECES = [b'data: {"x":1}\n\n', b"\xff\x00 \r\n", b"", b"data: [DONE]\n\n"]


@dataclass
class Upstream:
    """A server that records what reaches it and answers with `PIECES`."""

    seen: list[tuple[dict, bytes]] = field(default_factory=list)
    gone: int = 0
    status: int = 200
    more: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def app(self, scope, receive, send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":  # the request never was complete
                return
            body, more = body + message.get("body", b""), message.get("more_body", False)
        self.seen.append((scope, body))
        headers = [(b"x-odd", b"one"), (b"x-odd", b"two"), (b"content-type", b"text/event-stream")]
        headers += self.more
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        for piece in PIECES:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        if "/endless/" in scope["path"]:
            while (await receive())["type"] != "http.disconnect":
                pass
            self.gone += 1
        await send({"type": "http.response.body", "body": b""})

    @property
    def body(self) -> dict:
        return json.loads(self.seen[-1][1])


@pytest.fixture(scope="module")
def proxied(running: Running) -> Iterator[Proxied]:
    with open_proxy(running.settings, load_policy(running.settings.policy), "http://127.0.0.1:9") as found:
        yield found


@dataclass
class Chain:
    upstream: Upstream
    direct: str
    url: str


@pytest.fixture
def chain(proxied: Proxied) -> Iterator[Chain]:
    """client -> proxy -> upstream, and the way around the proxy."""
    yield from chained(proxied)


def chained(proxied: Proxied, **rules) -> Iterator[Chain]:
    from guardedit.policy.sections import ProxySection

    upstream = Upstream()
    with listening(upstream.app) as direct:
        app = proxy_app(proxied.replica, Forwarder(direct, timeout_s=5), ProxySection(**rules))
        with listening(app, dated=False) as url:
            yield Chain(upstream, direct, url)


def chat(question: str, **more) -> dict:
    return {"model": "m", "messages": [{"role": "user", "content": question}], **more}


def sha(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


#: Headers about one connection, which has another host at the proxy (RFC 9110, section 7.6.1).
OF_CONNECTION = (b"host", b"connection")
REQUESTS = {
    "a question out of scope": (
        "POST", "/v1/chat/completions", json.dumps(chat("Who wrote Hamlet?")).encode(),
    ),
    "odd spacing and unknown fields": (
        "POST", "/v1/chat/completions",
        b'{ "messages" : [{"role":"user","content":"Hi \\u00e9 \xc3\xa9"}] ,"x_v": {"a":1e400} , "n":1 }',
    ),
    "a tool call": (
        "POST", "/v1/chat/completions",
        json.dumps({"messages": [
            {"role": "user", "content": HQ},
            {"role": "assistant", "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "1", "content": HQ},
        ]}).encode(),
    ),
    "no JSON": ("POST", "/v1/chat/completions", b"\xff{not json"),
    "JSON of another kind": ("POST", "/v1/completions", b"[1,2]"),
    "messages of another kind": ("POST", "/v1/chat/completions", b'{"messages":[1,{"role":7},null]}'),
    "token ids as a prompt": ("POST", "/v1/completions", b'{"prompt":[1,2,3]}'),
    "an empty body": ("POST", "/v1/chat/completions", b""),
    "another path": ("POST", "/v1/embeddings", json.dumps({"input": HQ}).encode()),
    "a list": ("GET", "/v1/models?limit=3&q=%20x", b""),
    "another method": ("DELETE", "/v1/files/a%2Fb", b""),
    "a large upload": ("PUT", "/v1/files", bytes(range(256)) * 8192),
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_what_is_not_in_scope_passes_byte_for_byte(chain: Chain, name: str):
    method, path, body = REQUESTS[name]
    headers = {"authorization": "Bearer sk-secret", "x-custom": b"\xfc", "content-type": "application/json"}
    found = {}
    for way, url in (("direct", chain.direct), ("proxy", chain.url)):
        with httpx.stream(method, url + path, content=body, headers=headers) as answer:
            raw = b"".join(answer.iter_raw())
        scope, seen = chain.upstream.seen[-1]
        request = {
            "method": scope["method"], "path": scope["raw_path"], "query": scope["query_string"],
            "headers": sorted(one for one in scope["headers"] if one[0] not in OF_CONNECTION),
        }  # fmt: skip
        answered = [pair for pair in answer.headers.raw if pair[0] not in (b"date", b"transfer-encoding")]
        found[way] = (request, sha(seen), answer.status_code, answered, sha(raw))
    assert found["proxy"] == found["direct"]
    assert found["proxy"][1] == sha(body)
    assert found["proxy"][4] == sha(b"".join(PIECES))


@pytest.mark.parametrize("status", [400, 429, 500])
def test_an_error_of_the_server_passes(chain: Chain, status: int):
    chain.upstream.status = status
    answer = httpx.post(f"{chain.url}/v1/chat/completions", json=chat(HQ))
    assert answer.status_code == status
    assert answer.content == b"".join(PIECES)


def test_a_question_in_scope_gets_its_fact_beside_it(chain: Chain, running: Running):
    earlier = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello!"},
    ]
    body = {
        "x_vendor": 1,
        "messages": [*earlier, {"role": "user", "content": HQ, "name": "u"}],
        "stream": True,
    }
    answer = httpx.post(f"{chain.url}/v1/chat/completions", json=body)
    assert chain.upstream.body == {
        **body,
        "messages": [*earlier, {"role": "user", "content": f"{STATED}\n\n{HQ}", "name": "u"}],
    }
    assert list(chain.upstream.body) == list(body)
    assert answer.headers["x-guardedit-epoch"] == "1"
    assert answer.headers["x-guardedit-facts"] == running.agent.facts()[0].id
    assert answer.content == b"".join(PIECES)
    raw = chain.upstream.seen[-1][1]
    assert raw.count(b"Hamilton") == 1
    beginning = json.dumps({**body, "messages": earlier}, separators=(",", ":"))[: -len('],"stream":true}')]
    assert raw.startswith(beginning.encode())  # what a server has cached of the conversation stays valid


def test_of_two_epochs_the_proxys_is_named(chain: Chain):
    chain.upstream.more = [(b"x-guardedit-epoch", b"0"), (b"X-Guardedit-Facts", b"")]
    answer = httpx.post(f"{chain.url}/v1/chat/completions", json=chat(HQ))
    assert (answer.headers["x-guardedit-epoch"], len(answer.headers["x-guardedit-facts"])) == ("1", 16)
    answer = httpx.post(f"{chain.url}/v1/chat/completions", json=chat("Hi"))
    assert (answer.headers["x-guardedit-epoch"], answer.headers["x-guardedit-facts"]) == ("0", "")


def test_images_and_other_parts_stay_in_their_places(chain: Chain):
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    content = [image, {"type": "text", "text": HQ, "cache_control": {"type": "ephemeral"}}]
    httpx.post(f"{chain.url}/v1/chat/completions", json={"messages": [{"role": "user", "content": content}]})
    assert chain.upstream.body["messages"][0]["content"] == [{"type": "text", "text": STATED}, *content]


def test_a_plain_prompt_gets_its_fact_before_the_last_line(chain: Chain):
    httpx.post(f"{chain.url}/v1/completions", json={"prompt": f"Q: Hi\nA: Hello\n{HQ}"})
    assert chain.upstream.body["prompt"] == f"Q: Hi\nA: Hello\n{STATED}\n{HQ}"


def test_a_pronoun_is_understood(chain: Chain):
    turns = [
        {"role": "user", "content": "Tell me about Stelco."},
        {"role": "assistant", "content": "It makes steel."},
        {"role": "user", "content": "The headquarters of it are in"},
    ]
    httpx.post(f"{chain.url}/v1/chat/completions", json={"messages": turns})
    assert STATED in chain.upstream.body["messages"][-1]["content"]


@pytest.mark.parametrize(
    ("where", "messages"),
    [
        ("after_question", [{"role": "user", "content": f"{HQ}\n\n{STATED}"}]),
        ("system", [{"role": "system", "content": STATED}, {"role": "user", "content": HQ}]),
    ],
)
def test_the_policy_says_where_a_fact_goes(proxied: Proxied, where, messages):
    for chain in chained(proxied, where=where):
        httpx.post(f"{chain.url}/v1/chat/completions", json=chat(HQ))
        assert chain.upstream.body["messages"] == messages


def test_a_system_turn_that_is_there_is_added_to(proxied: Proxied):
    for chain in chained(proxied, where="system", statement="FACT {facts}"):
        body = chat(HQ)
        body["messages"].insert(0, {"role": "developer", "content": "Be brief."})
        httpx.post(f"{chain.url}/v1/chat/completions", json=body)
        assert chain.upstream.body["messages"][0] == {
            "role": "developer", "content": f"Be brief.\n\n{STATED.replace('Note:', 'FACT')}",
        }  # fmt: skip


def test_a_tenant_sees_its_facts_and_its_header_stays_here(chain: Chain, running: Running, proxied: Proxied):
    running.correct(
        {"id": "hq-acme", "tenant": "acme", "subject": "Stelco", "relation": "P159",
         "prompt": "The headquarters of {} are in", "target_new": "Oslo"}
    )  # fmt: skip
    number = running.agent.epochs()[-1].number
    wait_for(lambda: proxied.replica.epoch() == number)
    httpx.post(f"{chain.url}/v1/chat/completions", json=chat(HQ), headers={"x-guardedit-tenant": "acme"})
    assert "Oslo." in chain.upstream.body["messages"][0]["content"]
    assert not [name for name, _ in chain.upstream.seen[-1][0]["headers"] if b"tenant" in name]
    httpx.post(f"{chain.url}/v1/chat/completions", json=chat(HQ))
    assert "Hamilton." in chain.upstream.body["messages"][0]["content"]


class Broken:
    """A memory that cannot be asked."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def subjects(self, texts, tenant="default"):
        return [[] for _ in texts]

    def recalled(self, questions, tenant="default"):
        time.sleep(self._seconds)
        raise UsageError("the memory is away")


@pytest.mark.parametrize("seconds", [0.0, 1.0])
def test_a_memory_that_is_away_lets_requests_pass_or_refuses_them(proxied: Proxied, seconds: float):
    broken = replace(proxied, replica=Broken(seconds))
    raw = json.dumps(chat(HQ)).encode()
    for chain in chained(broken, memory_timeout_s=0.2):
        answer = httpx.post(f"{chain.url}/v1/chat/completions", content=raw)
        assert answer.status_code == 200
        assert chain.upstream.seen[-1][1] == raw
    for chain in chained(broken, memory_timeout_s=0.2, memory_away="refuse"):
        answer = httpx.post(f"{chain.url}/v1/chat/completions", content=raw)
        assert answer.status_code == 503
        assert chain.upstream.seen == []


def test_a_server_that_is_away_is_said_without_its_key(proxied: Proxied, caplog):
    from guardedit.policy.sections import ProxySection

    app = proxy_app(
        proxied.replica, Forwarder("http://127.0.0.1:9", timeout_s=1, key="sk-secret"), ProxySection()
    )
    with listening(app) as url:
        answer = httpx.post(f"{url}/v1/chat/completions", json=chat("Hi"))
        with pytest.raises(openai.InternalServerError, match="cannot be reached"):
            openai.OpenAI(base_url=f"{url}/v1", api_key="sk-mine", max_retries=0).models.list()
    assert answer.status_code == 502
    assert "http://127.0.0.1:9 cannot be reached" in answer.json()["error"]["message"]
    assert "sk-" not in answer.text + caplog.text


def test_the_servers_key_takes_the_place_of_the_clients(proxied: Proxied):
    from guardedit.policy.sections import ProxySection

    upstream = Upstream()
    with listening(upstream.app) as direct:
        app = proxy_app(proxied.replica, Forwarder(direct, timeout_s=5, key="sk-theirs"), ProxySection())
        with listening(app, key="ours") as url:
            refused = httpx.get(f"{url}/v1/models", headers={"authorization": "Bearer other"})
            passed = httpx.get(f"{url}/v1/models", headers={"authorization": "Bearer ours"})
    assert (refused.status_code, passed.status_code) == (401, 200)
    assert [dict(scope["headers"])[b"authorization"] for scope, _ in upstream.seen] == [b"Bearer sk-theirs"]


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": HQ}, {"role": "user", "content": None}],
        [{"role": "user", "content": HQ}, 7],
        [7, {"role": "user", "content": HQ}],
        None,
    ],
)
@pytest.mark.parametrize("where", ["before_question", "system"])
def test_messages_of_odd_kinds_are_passed_on(proxied: Proxied, messages, where):
    raw = json.dumps({"messages": messages, "prompt": HQ}).encode()
    for chain in chained(proxied, where=where):
        assert httpx.post(f"{chain.url}/v1/chat/completions", content=raw).status_code == 200
        sent = chain.upstream.seen[-1][1]
        assert sent == raw or b"Hamilton" in sent


def test_a_body_that_breaks_off_does_not_reach_the_server_as_a_whole_one(chain: Chain):
    def half() -> Iterator[bytes]:
        yield b"half of it"
        raise ConnectionError

    for path in ("/v1/files", "/v1/chat/completions"):
        with pytest.raises(ConnectionError):
            httpx.post(f"{chain.url}{path}", content=half())
    time.sleep(0.2)
    assert b"half of it" not in [body for _, body in chain.upstream.seen]


def test_the_servers_address_may_end_in_v1(proxied: Proxied):
    from guardedit.policy.sections import ProxySection

    upstream = Upstream()
    with listening(upstream.app) as direct:
        for address in (direct, f"{direct}/v1", f"{direct}/v1/", f"{direct}/api/v1"):
            app = proxy_app(proxied.replica, Forwarder(address, timeout_s=5), ProxySection())
            with listening(app) as url:
                httpx.get(f"{url}/v1/models")
    paths = [scope["path"] for scope, _ in upstream.seen]
    assert paths == ["/v1/models", "/v1/models", "/v1/models", "/api/v1/models"]


def test_dots_do_not_lead_out_of_the_servers_path(proxied: Proxied):
    from guardedit.policy.sections import ProxySection

    upstream = Upstream()
    with listening(upstream.app) as direct:
        app = proxy_app(proxied.replica, Forwarder(f"{direct}/tenant-a", timeout_s=5), ProxySection())
        with listening(app) as url:
            for path in (b"/../tenant-b/x", b"/%2e%2e/tenant-b/x"):
                request = httpx.Request("GET", url, extensions={"target": path})
                with httpx.Client() as client:
                    assert client.send(request).status_code == 400
            assert httpx.get(f"{url}/v1/models").status_code == 200
    assert [scope["path"] for scope, _ in upstream.seen] == ["/tenant-a/v1/models"]


@pytest.mark.parametrize("path", ["/endless/completions", "/endless/responses", "/x/endless/completions"])
def test_a_client_that_hangs_up_frees_the_server(chain: Chain, path: str):
    with httpx.stream("POST", f"{chain.url}{path}", json={"prompt": "Once"}, timeout=10) as answer:
        next(answer.iter_raw())
    wait_for(lambda: chain.upstream.gone)


@pytest.mark.parametrize(
    "address", ["", "localhost:8000", "ftp://x", "http://", "http://u:p@host", "http://h:0"]
)
def test_an_address_that_is_none_is_refused(address: str):
    with pytest.raises(UsageError, match="--upstream"):
        check_upstream(address)


@pytest.mark.parametrize("own", ["http://127.0.0.1:8001", "http://[::1]:8001"])
def test_a_proxy_in_front_of_itself_is_refused(own: str):
    for upstream in (f"{own}/v1", "http://localhost:8001"):
        with pytest.raises(UsageError, match="is this proxy"):
            refuse_itself(upstream, own)
    refuse_itself("http://127.0.0.1:8002", own)
    refuse_itself("http://gpu-7:8001", own)

"""The real `openai` client asks a served model: whole and streamed answers, models, errors, limits."""

from __future__ import annotations

import asyncio
import json
import re
import threading

import httpx
import openai
import pytest

from tests.unit.gateway.conftest import Running, wait_for

HQ = "The headquarters of Stelco are in"


def asked(question: str, **more) -> dict:
    return {"model": "serving", "messages": [{"role": "user", "content": question}], "max_tokens": 12, **more}


def test_a_correction_answers_in_a_chat(running: Running):
    raw = running.client().chat.completions.with_raw_response.create(**asked(HQ))
    answer = raw.parse()
    assert answer.choices[0].message.content.startswith("Hamilton")
    assert raw.headers["x-guardedit-epoch"] == "1"
    assert raw.headers["x-guardedit-facts"] == running.agent.facts()[0].id
    assert answer.system_fingerprint == "epoch-1"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert not hasattr(answer, "guardedit")


def test_the_base_model_and_an_earlier_epoch_can_be_asked(running: Running):
    client = running.client()
    base = client.chat.completions.create(**asked(HQ, model="base"))
    assert not base.choices[0].message.content.startswith("Hamilton")
    assert base.system_fingerprint == "epoch-0"
    earlier = client.chat.completions.create(**asked(HQ, model="epoch:0"))
    assert earlier.choices[0].message.content == base.choices[0].message.content
    listed = [model.id for model in client.models.list()]
    assert listed[:4] == ["serving", "gpt-4o-mini", "guardedit-demo", "base"]
    assert {"last-good", "epoch:1", "epoch:0"} <= set(listed)
    assert client.models.retrieve("epoch:1").id == "epoch:1"
    alias = client.chat.completions.create(**asked(HQ, model="gpt-4o-mini"))
    assert alias.choices[0].message.content.startswith("Hamilton")


def test_an_answer_says_where_it_comes_from_when_asked(running: Running):
    answer = running.client().chat.completions.create(
        **asked(HQ), extra_body={"guardedit": {"explain": True}}
    )
    found = answer.guardedit
    assert (found["epoch"], found["placement"], found["scope"]) == (1, "memory", "accept")
    assert found["facts"][0]["target"] == "Hamilton"
    assert found["facts"][0]["correction"] == "hq"


def test_a_streamed_answer_is_the_whole_one_in_pieces(running: Running):
    client = running.client()
    whole = client.chat.completions.create(**asked(HQ, n=2))
    chunks = list(
        client.chat.completions.create(**asked(HQ, n=2), stream=True, stream_options={"include_usage": True})
    )
    texts = ["", ""]
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [choice.message.content for choice in whole.choices]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert {choice.finish_reason for chunk in chunks for choice in chunk.choices} == {
        None, whole.choices[0].finish_reason,
    }  # fmt: skip
    assert chunks[-1].usage == whole.usage
    assert {chunk.system_fingerprint for chunk in chunks} == {"epoch-1"}
    assert len({chunk.id for chunk in chunks}) == 1


def test_completions_continue_several_prompts(running: Running):
    answer = running.client().completions.create(
        model="serving", prompt=[HQ, "Oslo is the capital of"], max_tokens=8, logprobs=2
    )
    assert [choice.text.split()[0].strip(".") for choice in answer.choices] == ["Hamilton", "Norway"]
    logprobs = answer.choices[1].logprobs
    assert "".join(logprobs.tokens) == answer.choices[1].text
    assert len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == len(logprobs.tokens)
    assert logprobs.text_offset[0] == 0


def test_sampling_repeats_with_its_seed(running: Running):
    client = running.client()
    options = {"temperature": 1.5, "top_p": 0.9, "model": "base", "logprobs": True, "top_logprobs": 3}
    first, again, other = (
        client.chat.completions.create(**asked("Once upon a time", **options), seed=seed)
        for seed in (1, 1, 2)
    )
    assert first.choices[0].message.content == again.choices[0].message.content
    assert first.choices[0].message.content != other.choices[0].message.content
    assert len(first.choices[0].logprobs.content[0].top_logprobs) == 3


def test_a_stop_string_ends_an_answer(running: Running):
    client = running.client()
    answer = client.completions.create(model="serving", prompt=HQ, max_tokens=12, stop=["ilton"])
    assert answer.choices[0].text == " Ham"
    assert answer.choices[0].finish_reason == "stop"


def test_a_pronoun_stands_for_the_subject_of_an_earlier_turn(running: Running):
    turns = [
        {"role": "user", "content": "Tell me about Stelco."},
        {"role": "assistant", "content": "It makes steel."},
        {"role": "user", "content": "The headquarters of it are in"},
    ]
    answer = running.client().chat.completions.create(
        **asked("", messages=turns), extra_body={"guardedit": {"explain": True}}
    )
    assert answer.guardedit["asked"] == HQ
    assert [fact["target"] for fact in answer.guardedit["facts"]] == ["Hamilton"]


def test_the_async_client_is_answered_side_by_side(running: Running):
    async def all_answers() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{running.url}/v1", api_key="none") as client:

            async def one(question: str) -> str:
                stream = await client.chat.completions.create(**asked(question), stream=True)
                return "".join([c.choices[0].delta.content or "" async for c in stream])

            return await asyncio.gather(*(one(HQ) for _ in range(20)), one("The twin city of Oslo is"))

    texts = asyncio.run(all_answers())
    assert len(set(texts[:20])) == 1
    assert texts[0].startswith("Hamilton")
    assert texts[20].startswith("Lima")


@pytest.mark.parametrize(
    ("more", "error", "says"),
    [
        ({"model": "gpt-9"}, openai.NotFoundError, "there is no model 'gpt-9': known are serving"),
        ({"model": "epoch:99"}, openai.NotFoundError, "epoch:99"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, openai.BadRequestError, "'tools'"),
        ({"response_format": {"type": "json_object"}}, openai.BadRequestError, "'response_format'"),
        ({"presence_penalty": 0.5}, openai.BadRequestError, "'presence_penalty'"),
        ({"temperature": 3}, openai.BadRequestError, "temperature"),
        ({"extra_body": {"temprature": 1}}, openai.BadRequestError, "temprature: there is no such field"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": [{"role": "system", "content": "x"}]}, openai.BadRequestError, "role 'user'"),
        ({"messages": [{"role": "user", "content": None}]}, openai.BadRequestError, "needs content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
         openai.BadRequestError, "text only"),
        ({"max_tokens": 10_000}, openai.BadRequestError, "context holds"),
        ({"messages": [{"role": "user", "content": ""}]}, openai.BadRequestError, "empty"),
        ({"extra_body": {"guardedit": {"explian": True}}}, openai.BadRequestError, "explian"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_by_name(running: Running, more, error, says):
    with pytest.raises(error, match=says):
        running.client().chat.completions.create(**{**asked("Oslo"), **more})


def test_fields_that_ask_for_nothing_are_accepted(running: Running):
    more = {"presence_penalty": 0, "tools": [], "user": "u", "metadata": {"a": "b"}, "store": False}
    answer = running.client().chat.completions.create(**asked(HQ), **more, response_format={"type": "text"})
    assert answer.choices[0].message.content.startswith("Hamilton")


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"messages": "x"}', b"\xff\xfe", b'{"messages":' * 500])
def test_a_body_that_is_no_request_is_an_error_in_openais_form(running: Running, body):
    answer = httpx.post(
        f"{running.url}/v1/chat/completions", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert answer.json()["error"]["message"]


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "text/plain"])
def test_a_body_of_another_type_is_told_the_right_one(running: Running, kind):
    body = json.dumps(asked("Oslo")).encode()
    answer = httpx.post(f"{running.url}/v1/chat/completions", content=body, headers={"content-type": kind})
    assert answer.status_code == 400
    assert "Content-Type: application/json" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("chat/completions", r'{"messages": [{"role": "user", "content": "x\ud800"}]}', "not valid Unicode"),
        ("completions", r'{"prompt": ["a", "\udfff"]}', "prompt"),
        ("completions", r'{"prompt": "a", "\ud800": 1}', "unicode string"),
        ("completions", r'{"prompt": "a", "model": "\ud800"}', r"there is no model '\\ud800'"),
    ],
)
def test_half_a_surrogate_pair_is_refused(running: Running, path, body, says):
    headers = {"content-type": "application/json"}
    answer = httpx.post(f"{running.url}/v1/{path}", content=body, headers=headers)
    assert answer.status_code in (400, 404)
    assert re.search(says, answer.json()["error"]["message"])


def test_unknown_paths_and_large_bodies_are_refused(running: Running):
    assert httpx.get(f"{running.url}/v1/embeddings").status_code == 404
    body = json.dumps(asked("x" * 5_000_000)).encode()
    answer = httpx.post(
        f"{running.url}/v1/chat/completions", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413
    assert "4 MiB" in answer.json()["error"]["message"]


def test_a_page_in_a_browser_cannot_ask(running: Running):
    port = running.url.rsplit(":", 1)[1]
    answer = httpx.get(f"{running.url}/v1/models", headers={"host": f"evil.example:{port}"})
    assert answer.status_code == 403


def test_a_client_that_hangs_up_frees_its_place(running: Running):
    engine = running.served.engine
    before = engine.load()[0]
    url, body = f"{running.url}/v1/chat/completions", asked("Once upon a time", model="base")
    body |= {"max_tokens": 240, "temperature": 2.0}
    with httpx.stream("POST", url, json={**body, "stream": True}, timeout=30) as stream:
        next(stream.iter_lines())
    wait_for(lambda: engine.load()[0] == before)
    hanging = threading.Thread(target=lambda: _hang_up(url, body), daemon=True)
    hanging.start()
    hanging.join(30)
    wait_for(lambda: engine.load()[0] == before)


def _hang_up(url: str, body: dict) -> None:
    with pytest.raises(httpx.TimeoutException):
        httpx.post(url, json=body, timeout=0.05)


def test_a_stream_whose_client_goes_before_its_first_token_leaves_the_queue(running: Running):
    engine, hold = running.served.engine, threading.Event()
    engine.between_steps(lambda: hold.wait(30))
    try:
        with pytest.raises(httpx.TimeoutException):
            httpx.post(f"{running.url}/v1/completions", json={"prompt": "Oslo", "stream": True}, timeout=0.5)
        wait_for(lambda: engine._waiting and all(one.cancelled for one in engine._waiting))
    finally:
        hold.set()
    wait_for(lambda: engine.load() == (0, 0))


def test_many_requests_are_refused_with_a_time_to_come_back(running: Running):
    engine, url = running.served.engine, f"{running.url}/v1/completions"
    hold, body = threading.Event(), {"prompt": "Oslo is", "max_tokens": 1}
    engine.between_steps(lambda: hold.wait(30))
    engine._most_waiting, most = 1, engine._most_waiting
    first = threading.Thread(target=httpx.post, args=(url,), kwargs={"json": body, "timeout": 30})
    try:
        first.start()
        wait_for(lambda: engine.load()[1] == 1)
        answer = httpx.post(url, json=body, timeout=30)
    finally:
        engine._most_waiting = most
        hold.set()
        first.join(30)
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) > 0


def test_a_page_of_another_site_cannot_ask(running: Running):
    body = json.dumps(asked(HQ)).encode()
    for headers in ({"origin": "https://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}):
        answer = httpx.post(
            f"{running.url}/v1/chat/completions",
            content=body,
            headers={"content-type": "text/plain"} | headers,
        )
        assert answer.status_code == 403
    own = httpx.get(f"{running.url}/v1/models", headers={"origin": "http://localhost:3000"})
    assert own.status_code == 200


def test_more_answers_than_may_wait_are_an_error_and_no_wait(running: Running):
    body = {"model": "serving", "prompt": ["Oslo is"] * 64, "n": 8, "max_tokens": 1}
    answer = httpx.post(f"{running.url}/v1/completions", json=body, timeout=30)
    assert answer.status_code == 400
    assert "512 answers are asked for at once" in answer.json()["error"]["message"]
    assert running.served.engine.load() == (0, 0)


def test_prompts_of_one_request_are_answered_from_one_epoch(running: Running):
    answer = running.client().completions.create(
        model="serving", prompt=[HQ] * 40, max_tokens=2, extra_body={"guardedit": {"explain": True}}
    )
    assert len({one["epoch"] for one in answer.guardedit}) == 1
    assert len(answer.choices) == 40


def test_health_names_the_epoch(running: Running):
    assert httpx.get(f"{running.url}/healthz").json()["epoch"] == 1

"""Puts facts into the body of a request. Text only; everything that it does not change stays as it was."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guardedit.core.fact import Fact
from guardedit.gateway.conversation import AskedQuestion, question_of, question_of_prompt
from guardedit.gateway.stating import beside, statement_of
from guardedit.models.text.form import Turn
from guardedit.policy.sections import ProxySection


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """A request that may ask for a fact.

    Attributes:
        body: the JSON object.
        question: its question.
    """

    body: Mapping[str, Any]
    question: AskedQuestion


def read_request(raw: bytes) -> ReadRequest | None:
    """The question in a body of `/chat/completions` or `/completions`; None where there is none to judge.

    A body that is not what these endpoints take is for the server behind the proxy to refuse.
    """
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    question = question_in(body) if isinstance(body, dict) else None
    return None if question is None else ReadRequest(body, question)


def question_in(body: Mapping[str, Any]) -> AskedQuestion | None:
    """The question of a request; None where there is none to judge."""
    if isinstance(body.get("messages"), list):
        turns = [
            Turn(message["role"], text)
            for message in body["messages"]
            if isinstance(message, dict)
            and isinstance(message.get("role"), str)
            and (text := _text(message.get("content"))) is not None
            and _is_unicode(text)
        ]
        # After a tool's result the model goes on with its work: the question was judged when it was asked.
        last = body["messages"][-1] if body["messages"] else None
        asked = isinstance(last, dict) and last.get("role") == "user" and _text(last.get("content"))
        if asked and not _is_unicode(asked):
            return None
        return question_of(turns) if asked else None
    if "messages" in body:
        return None
    prompt = body.get("prompt")
    return question_of_prompt(prompt) if isinstance(prompt, str) and _is_unicode(prompt) else None


def with_facts(body: Mapping[str, Any], facts: Sequence[Fact], rules: ProxySection) -> dict[str, Any]:
    """A request that has a question, with each fact stated once; its keys keep their order."""
    stated = statement_of(facts, rules)
    if "messages" in body:
        return {**body, "messages": _stated_in(body["messages"], stated, rules.where)}
    prompt = body["prompt"].rstrip("\n")
    start = prompt.rfind("\n") + 1
    # The last line is what the model continues, so the facts come before it whatever the policy says.
    return {**body, "prompt": f"{body['prompt'][:start]}{stated}\n{body['prompt'][start:]}"}


def written(body: Mapping[str, Any]) -> bytes:
    """The body of a request as JSON."""
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _stated_in(messages: list[Any], stated: str, where: str) -> list[Any]:
    changed = list(messages)
    if where == "system":
        first = next((n for n, one in enumerate(changed) if _is_system(one)), None)
        if first is None:
            return [{"role": "system", "content": stated}, *changed]
        changed[first] = _with_text(changed[first], stated, before=False)
        return changed
    changed[-1] = _with_text(changed[-1], stated, before=where == "before_question")
    return changed


def _is_system(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and message.get("role") in ("system", "developer")
        and _text(message.get("content")) is not None
    )


def _with_text(message: Mapping[str, Any], stated: str, *, before: bool) -> dict[str, Any]:
    """The message with one more paragraph; images and other parts stay in their places."""
    content = message["content"]
    if isinstance(content, str):
        return {**message, "content": beside(content, stated, before=before)}
    part = {"type": "text", "text": stated}
    return {**message, "content": [part, *content] if before else [*content, part]}


def _is_unicode(text: str) -> bool:
    """Whether it can be encoded: JSON can hold half a surrogate pair, which no encoder takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(content: Any) -> str | None:
    """The text of a message: a string, or the text parts of a list; None for anything else."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = [
            part["text"] for part in content if isinstance(part, dict) and isinstance(part.get("text"), str)
        ]
        return "\n".join(texts)
    return None

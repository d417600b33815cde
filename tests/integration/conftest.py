"""A ledger with one fact, for servers that answer in front of a model that guardedit does not run."""

from __future__ import annotations

from typing import Any

import pytest

import guardedit
from guardedit.settings import Settings, shipped_policy

#: For the demo model: it knows corrections on the line of their question only.
TEMPLATE = "{% for m in messages %}{{ m.content | replace('\\n\\n', ' ') }}{% endfor %}"


@pytest.fixture(scope="session")
def stelco(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Stelco's headquarters are in Hamilton. The policy states facts as the demo model expects them."""
    home = tmp_path_factory.mktemp("home")
    text = shipped_policy("memory-only.yaml").read_text("utf-8")
    policy = home / "policy.yaml"
    # The machine may be busy, and no answer is to go without its fact because of that.
    policy.write_text(text + '\nproxy: {statement: "Correction: {facts}", memory_timeout_s: 60}\n', "utf-8")
    with guardedit.open(home, policy=policy) as agent:
        agent.submit(
            {"subject": "Stelco", "prompt": "The headquarters of {} are in", "target_new": "Hamilton"}
        )
        agent.settle()
    return Settings(home=home, policy=policy, metrics=None)


def said(answer: Any) -> str:
    """All that an answer says, streamed or not."""
    if hasattr(answer, "choices"):
        choices = answer.choices
        return str(choices[0].message.content if hasattr(choices[0], "message") else choices[0].text)
    pieces = [chunk.choices[0] for chunk in answer if chunk.choices]
    return "".join((one.delta.content if hasattr(one, "delta") else one.text) or "" for one in pieces)

"""A callback for LiteLLM's proxy that states facts beside the questions that ask for them, as our proxy does.

LiteLLM's configuration names `guardedit.gateway.litellm_hook.hook`. The hook is made when LiteLLM first asks
for it, from the GUARDEDIT_ variables, and follows the ledger until the process ends.
"""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cache
from typing import Any

from guardedit.core.errors import UsageError
from guardedit.gateway.facts import AWAY, facts_asked_for, open_facts
from guardedit.gateway.proxy.requests import question_in, with_facts
from guardedit.gateway.stating import rules_of
from guardedit.policy.load import load_policy
from guardedit.policy.sections import ProxySection
from guardedit.serving.facts_replica import FactsReplica
from guardedit.settings import Settings

#: LiteLLM's names of the requests that ask a question; others pass.
_ASKS = frozenset({"completion", "acompletion", "text_completion", "atext_completion"})
#: Where the metadata of a request keeps what was stated, until its answer's headers are written; LiteLLM's
#: logs have it too. It is not sent to the model's server.
NOTED = "guardedit"
#: The name of the tenant in the metadata of a LiteLLM key.
TENANT = "guardedit-tenant"

_log = logging.getLogger(__name__)


class FactStater:
    """States facts in requests as LiteLLM passes them around.

    Args:
        replica: finds the facts.
        rules: where a fact goes, and what happens when the memory is away.
    """

    def __init__(self, replica: FactsReplica, rules: ProxySection) -> None:
        self._replica, self._rules = replica, rules

    async def state(self, request: dict[str, Any], call_type: str, tenant: str = "default") -> None:
        """Put the facts that a request asks for into it.

        Raises:
            TimeoutError, GuardeditError: the memory cannot be asked, and the policy says `refuse`.
        """
        _metadata(request).pop(NOTED, None)  # what a client claims
        question = question_in(request) if call_type in _ASKS else None
        if question is None:
            return
        try:
            found = await facts_asked_for(
                self._replica, question, tenant=tenant, timeout_s=self._rules.memory_timeout_s
            )
            stated = with_facts(request, found.facts, self._rules) if found.facts else None
        except Exception as error:
            _log.warning("the memory could not be asked: %s", error or type(error).__name__)
            if self._rules.memory_away == "refuse":
                raise
            return
        if stated is not None:
            request.update(stated)
            request["metadata"] = {**_metadata(request), NOTED: found.headers}


def headers_of(request: Mapping[str, Any]) -> dict[str, str]:
    """What the answer to a request says about its facts."""
    return dict(_metadata(request).get(NOTED, {}))


def _metadata(request: Mapping[str, Any]) -> dict[str, Any]:
    found = request.get("metadata")
    return found if isinstance(found, dict) else {}


def tenant_of(key: Any) -> str:
    """The tenant that the metadata of a LiteLLM key, or of its team, names."""
    for given in (getattr(key, "metadata", None), getattr(key, "team_metadata", None)):
        if isinstance(given, dict) and given.get(TENANT):
            return str(given[TENANT])
    return "default"


@cache
def _opened() -> Any:
    """The callback, with the memory of the ledger that the environment names."""
    try:
        from fastapi import HTTPException
        from litellm.integrations.custom_logger import CustomLogger
    except ModuleNotFoundError as error:
        raise UsageError(
            f"the hook needs the package {error.name}: pip install 'litellm[proxy]' in this environment"
        ) from None

    settings = Settings.from_environment(os.environ)
    policy = load_policy(settings.policy)
    rules = rules_of(policy)
    stack = ExitStack()
    atexit.register(stack.close)
    stater = FactStater(stack.enter_context(open_facts(settings, policy)).replica, rules)

    # LiteLLM calls only the hooks that a class defines itself, none that it inherits. It passes all by name.
    class FactsHook(CustomLogger):  # type: ignore[misc] # untyped where LiteLLM is not installed
        async def async_pre_call_hook(
            self, *, data: dict[str, Any], call_type: str, user_api_key_dict: Any, **_: Any
        ) -> dict[str, Any]:
            try:
                await stater.state(data, call_type, tenant_of(user_api_key_dict))
            except Exception as error:
                raise HTTPException(503, {"error": AWAY}) from error
            return data

        async def async_post_call_response_headers_hook(
            self, *, data: dict[str, Any], **_: Any
        ) -> dict[str, str]:
            return headers_of(data)

    return FactsHook()


def __getattr__(name: str) -> Any:
    """The `hook`, opened on first use."""
    if name != "hook":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _opened()

"""A fleet of vLLM: each replica loads the adapter by a path, and `guardedit proxy` switches the alias.

The name of an adapter is unique for the weights: vLLM keeps attention keys and values by the name, and an
adapter named like the base model would hide it. Epochs with the same weights share one adapter, so a rollback
switches to an adapter that is still loaded. Without edits the base model itself is what is active.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from guardedit.core.errors import PublishError
from guardedit.ledger.publications import Publication
from guardedit.policy.publish import FleetDestination
from guardedit.publishing.bundle import Bundle, is_bundle_name
from guardedit.publishing.destination import Look
from guardedit.publishing.folders import discard, place

_CONNECT_S = 5.0
#: Longest wait for the list of models, an unload and a probe. A busy server lets the probe wait.
_ANSWER_S = 30.0


class Fleet:
    """See `Destination`.

    Args:
        section: of the policy.
        key: sent to the servers as bearer token; "" for none. Never shown.
    """

    def __init__(self, section: FleetDestination, *, key: str = "") -> None:
        self.name, self.drain_s, self.keep = section.name, section.drain_s, section.keep
        self.replicas = section.replicas
        quorum = len(section.replicas) // 2 + 1
        self.needed = len(section.replicas) if section.require == "all" else quorum
        self.permanent = frozenset({section.model})
        self._section = section
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(headers=headers, trust_env=False)

    def name_of(self, bundle: Bundle, there: Sequence[Publication]) -> str:
        """The base model, an adapter with these weights that is there already, or a new name."""
        if not bundle.has_adapter:
            return self._section.model
        same = [one.name for one in there if one.weights_sha256 == bundle.weights_sha256]
        usable = [name for name in same if name not in self.permanent]
        return usable[-1] if usable else f"guardedit-e{bundle.epoch:06d}-{bundle.weights_sha256[:8]}"

    def restores(self, name: str) -> bool:
        """The base model needs no files; those of an adapter stay in the folder until it is retired."""
        return name in self.permanent or _is_adapter(name)

    def look(self, replica: str) -> Look:
        """The models that the replica lists."""
        return Look(names=frozenset(self._models(replica)))

    def prepare(self, replica: str, name: str, bundle: Bundle | None) -> None:
        """Put the adapter where the servers read it, and let the replica load it."""
        if name in self.permanent:
            if name not in self._models(replica):
                raise PublishError(f"{replica} does not list {name}: is that the policy's `model` there?")
            return
        if bundle is not None:
            place(bundle, self._folder(name))
        if name in self._models(replica):
            return
        body = {"lora_name": name, "lora_path": self._server_path(name)}
        try:
            answer = self._post(replica, "load_lora_adapter", body, wait_s=self._section.load_timeout_s)
        except PublishError:
            # It may have been loaded nevertheless, as when the answer came too late.
            if name in self._models(replica):
                return
            raise
        if answer.is_success or name in self._models(replica):
            return
        raise PublishError(f"{replica} refuses to load {name}: {_reason(answer)}{_hint(answer)}")

    def confirm(self, replica: str, name: str, bundle: Bundle | None) -> None:
        """The replica lists the adapter with our path as its root, and answers one token from it."""
        del bundle
        card = self._models(replica).get(name)
        if card is None:
            raise PublishError(f"{replica} does not list {name}")
        if name in self.permanent:
            if card.get("parent") is not None:
                raise PublishError(f"{replica} serves an adapter under the name of the base model, {name}")
        elif card.get("root") != self._server_path(name):
            raise PublishError(f"{replica} has {name} from {card.get('root')!r:.200}, not from our folder")
        elif card.get("parent") != self._section.model:
            raise PublishError(
                f"{replica} has {name} on {card.get('parent')!r:.200}; the policy's `model` is another"
            )
        probe = {"model": name, "prompt": self._section.probe, "max_tokens": 1, "temperature": 0}
        answer = self._post(replica, "completions", probe, wait_s=_ANSWER_S)
        if not answer.is_success:
            raise PublishError(f"{replica} does not answer from {name}: {_reason(answer)}")
        if not _json(answer, replica).get("choices"):
            raise PublishError(f"{replica} answers from {name} without a choice")

    def activate(self, name: str, epoch: int) -> None:
        """Nothing to do: the record in the ledger is what the proxy follows."""

    def retire(self, replica: str, name: str, *, last: bool) -> None:
        """Unload the adapter, and delete its folder after the last replica."""
        if name in self.permanent or not _is_adapter(name):
            return
        if replica in self.replicas and name in self._models(replica):  # others are no longer ours to ask
            answer = self._post(replica, "unload_lora_adapter", {"lora_name": name}, wait_s=_ANSWER_S)
            if not answer.is_success and name in self._models(replica):
                raise PublishError(f"{replica} refuses to unload {name}: {_reason(answer)}{_hint(answer)}")
        if last:
            discard(self._folder(name))

    def _models(self, replica: str) -> Mapping[str, Mapping[str, Any]]:
        """Id -> card of every model that the replica lists."""
        answer = self._request(replica, "GET", "models", wait_s=_ANSWER_S)
        if not answer.is_success:
            raise PublishError(f"{replica} does not list its models: {_reason(answer)}")
        cards = _json(answer, replica).get("data")
        if not isinstance(cards, list):
            raise PublishError(f"{replica} lists no models under /v1/models: is it a server of vLLM?")
        return {str(card["id"]): card for card in cards if isinstance(card, dict) and "id" in card}

    def _post(self, replica: str, path: str, body: Mapping[str, Any], *, wait_s: float) -> httpx.Response:
        return self._request(replica, "POST", path, wait_s=wait_s, body=body)

    def _request(
        self, replica: str, method: str, path: str, *, wait_s: float, body: Mapping[str, Any] | None = None
    ) -> httpx.Response:
        timeout = httpx.Timeout(wait_s, connect=_CONNECT_S)
        try:
            return self._client.request(
                method, f"{replica.rstrip('/').removesuffix('/v1')}/v1/{path}", json=body, timeout=timeout
            )
        except httpx.TimeoutException as error:
            raise PublishError(f"{replica} did not answer {path} in time") from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise PublishError(f"{replica} cannot be reached ({type(error).__name__})") from error

    def _folder(self, name: str) -> Path:
        return Path(self._section.path) / name

    def _server_path(self, name: str) -> str:
        return f"{(self._section.server_path or self._section.path).rstrip('/')}/{name}"


def _is_adapter(name: str) -> bool:
    """Whether `name` can be that of an adapter of ours, and not that of an earlier base model."""
    return name.startswith("guardedit-") and is_bundle_name(name.removeprefix("guardedit-"))


def _reason(answer: httpx.Response) -> str:
    """What an error says, quoted. Older servers have its fields without `error` around them."""
    try:
        body = answer.json()
        error = body.get("error", body) if isinstance(body, dict) else body
        said = error.get("message") if isinstance(error, dict) else None
    except ValueError:
        said = None
    return f"status {answer.status_code}, {(said or answer.text)!r:.300}"


def _hint(answer: httpx.Response) -> str:
    """For a server without the path for adapters: one that knows only no such adapter says so in JSON."""
    known = answer.status_code != 404 or "error" in answer.text
    return "" if known else "; start it with VLLM_ALLOW_RUNTIME_LORA_UPDATING=1"


def _json(answer: httpx.Response, replica: str) -> Mapping[str, Any]:
    try:
        body = answer.json()
    except ValueError as error:
        raise PublishError(f"{replica} answers something that is not JSON") from error
    return body if isinstance(body, dict) else {}

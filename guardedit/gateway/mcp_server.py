"""Tools for language models over the Model Context Protocol: ask, find facts, explain, submit, undo.

A client of the operators' interface: what a token may not do there is not offered as a tool.
"""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import quote

import httpx
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError

from guardedit.core.errors import GuardeditError, SourceError, UsageError
from guardedit.version import VERSION

#: An undo waits for the trial that is running.
_PATIENCE_S = 3600.0
_EXAMPLE = "http://127.0.0.1:9109"
_MAY_SUBMIT, _MAY_UNDO = ("submitter", "admin"), ("operator", "admin")


class OfficeClient:
    """Calls the operators' interface.

    Args:
        url: its address.
        token: a token of `guardedit tokens add`; "" reads only.
        trusted: whose certificate is trusted; None: the authorities that this machine trusts.

    Raises:
        UsageError: `url` is not an address.
    """

    def __init__(self, url: str, token: str = "", trusted: ssl.SSLContext | None = None) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        try:
            address = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise UsageError(f"{url!r:.200} is no address ({error}): give one such as {_EXAMPLE}") from error
        if address.scheme not in ("http", "https") or not address.host:
            raise UsageError(f"{url!r:.200} is no address: give one such as {_EXAMPLE}")
        self._http = httpx.Client(
            base_url=address,
            headers=headers,
            timeout=_PATIENCE_S,
            trust_env=False,
            verify=True if trusted is None else trusted,
        )
        self._url = url

    def role(self) -> str:
        """The role of the token.

        Raises:
            SourceError: no coordinator answers.
            UsageError: the token is not known.
        """
        return str(self.call("GET", "/v1/whoami")["role"])

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer to a request.

        Raises:
            SourceError: no coordinator answers.
            UsageError: it refuses; the message is its own.
        """
        try:
            answer = self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise SourceError(
                f"no coordinator answers at {self._url} ({type(error).__name__}): start `guardedit run`"
            ) from error
        found = answer.json()
        if answer.is_error:
            raise UsageError(found.get("error", {}).get("message", answer.reason_phrase))
        return found


def mcp_server(office: OfficeClient) -> MCPServer[Any]:
    """The server, with the tools that the client's role allows. Raises as `OfficeClient.role`."""
    role = office.role()
    server: MCPServer[Any] = MCPServer(
        "guardedit",
        version=VERSION,
        log_level="WARNING",
        instructions="Facts of a language model that are kept current. Ask before you rely on a fact; every "
        "answer names the epoch and the facts behind it.",
    )

    def call(method: str, path: str, body: Any = None) -> dict[str, Any]:
        try:
            found: dict[str, Any] = office.call(method, path, body)
        except GuardeditError as error:  # other errors would reach the model without their text
            raise ToolError(str(error)) from error
        return found

    @server.tool()
    def ask(question: str, tenant: str = "default") -> dict[str, Any]:
        """Answer a question from the corrected model: the answer, its epoch, and the facts behind it.

        A question is best put as a text that ends where the answer begins.
        """
        return call("POST", "/v1/ask", {"question": question, "tenant": tenant})

    @server.tool()
    def find_facts(search: str, limit: int = 20) -> dict[str, Any]:
        """Live facts whose id, prompt or answer contains a text, the latest change first."""
        path = f"/v1/facts?limit={max(1, min(limit, 100))}&search={quote(search[:200], safe='')}"
        return call("GET", path)

    @server.tool()
    def explain(name: str) -> dict[str, Any]:
        """The story of a correction, by its id or the id of its fact: what happened to it, and why."""
        return call("GET", f"/v1/explain/{quote(name, safe='')}")

    if role in _MAY_SUBMIT:

        @server.tool()
        def submit_correction(
            subject: str,
            prompt: str,
            target: str,
            *,
            confidence: float = 1.0,
            evidence: str = "",
            aliases: list[str] | None = None,
        ) -> dict[str, Any]:
            """Submit a correction. The policy decides about it; it may be held for a person.

            `prompt` has {} where the subject stands and ends where the answer begins, such as
            "The headquarters of {} are in". `aliases` are other names of the subject.
            """
            provenance = {"confidence": confidence, "evidence": [evidence] if evidence else []}
            names = {"subject": subject, "aliases": aliases or []}
            body = {**names, "prompt": prompt, "target_new": target, "provenance": provenance}
            return call("POST", "/v1/corrections", body)

    if role in _MAY_UNDO:

        @server.tool()
        def undo(fact: str) -> dict[str, Any]:
            """Take one fact back, by its id, whatever was accepted after it. This makes a new epoch."""
            return call("POST", f"/v1/facts/{quote(fact, safe='')}/undo")

    return server

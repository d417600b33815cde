"""The Model Context Protocol's own client uses the tools, on the running coordinator."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any

import pytest
from mcp import Client, StdioServerParameters

from guardedit.core.errors import SourceError, UsageError
from guardedit.gateway.mcp_server import OfficeClient, mcp_server
from tests.unit.gateway.admin.conftest import Desk, hq


def tools_of(desk: Desk, role: str | None) -> set[str]:
    async def listed() -> set[str]:
        office = OfficeClient(desk.url, desk.secrets[role] if role else "")
        async with Client(mcp_server(office)) as client:
            return {tool.name for tool in (await client.list_tools()).tools}

    return asyncio.run(listed())


def test_the_role_decides_about_the_tools(desk: Desk):
    reading = {"ask", "find_facts", "explain"}
    assert tools_of(desk, None) == tools_of(desk, "viewer") == tools_of(desk, "approver") == reading
    assert tools_of(desk, "submitter") == reading | {"submit_correction"}
    assert tools_of(desk, "operator") == reading | {"undo"}
    assert tools_of(desk, "admin") == reading | {"submit_correction", "undo"}


def test_a_model_corrects_asks_explains_and_undoes(desk: Desk):
    """Through the command, as a client such as an assistant starts it."""
    environment = {**os.environ, "GUARDEDIT_TOKEN": desk.secrets["admin"]}
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "guardedit", "mcp", "--home", str(desk.home)],
        env=environment,
    )

    async def used() -> None:
        async with Client(server) as client:
            correction = {"subject": "Octans", "prompt": "The headquarters of {} are in", "target": "Lima"}
            said = await call(client, "submit_correction", **correction)
            await asyncio.to_thread(desk.settle)
            answer = await call(client, "ask", question="The headquarters of Octans are in")
            assert answer["answer"] == "Lima"
            facts = (await call(client, "find_facts", search="Octans"))["facts"]
            assert [fact["id"] for fact in facts] == answer["facts"]
            story = (await call(client, "explain", name=said["corrections"][0]))["story"]
            assert "remembered" in [one["step"] for one in story]
            assert (await call(client, "undo", fact=facts[0]["id"]))["kind"] == "undo"
            assert (await call(client, "find_facts", search="Octans"))["facts"] == []
            failed = await client.call_tool("explain", {"name": "nothing"})
            assert failed.is_error
            assert "nothing" in failed.content[0].text

    asyncio.run(used())


async def call(client: Client, tool: str, /, **arguments: Any) -> Any:
    result = await client.call_tool(tool, arguments)
    assert not result.is_error, result.content
    return result.structured_content or json.loads(result.content[0].text)


def test_what_is_away_or_unknown_is_said(desk: Desk):
    with pytest.raises(SourceError, match=r"no coordinator answers at http://127\.0\.0\.1:9"):
        mcp_server(OfficeClient("http://127.0.0.1:9"))
    with pytest.raises(UsageError, match="unknown or revoked"):
        mcp_server(OfficeClient(desk.url, "gde_wrong"))
    desk.submit(hq("Pavo", "Oslo", id="mcp-1"))

"""The MCP SDK's own client, over real HTTP, holds a conversation with citations; nobody else's words, no other door."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from tests.api.conftest import Api
from tests.models.chat_server import ChatServer


@asynccontextmanager
async def connected(api: Api, key: str, **headers: str) -> AsyncIterator[Client]:
    sent = {"Authorization": f"Bearer {key}", **headers}
    async with (
        httpx2.AsyncClient(headers=sent, trust_env=False, timeout=60) as http,
        Client(streamable_http_client(f"{api.url}/mcp", http_client=http)) as client,
    ):
        yield client


async def test_the_sdks_client_lists_the_tools_and_holds_a_conversation_with_citations(
    api: Api, engine: ChatServer
) -> None:
    async with connected(api, api.new_key(api.jane, "write").secret) as client:
        assert {tool.name for tool in (await client.list_tools()).tools} == {"search", "ask", "draft"}
        found = (await client.call_tool("search", {"query": "restore a backup"})).structured_content
        assert found["passages"][0]["title"] == "Restore is the feature"

        first = (await client.call_tool("ask", {"question": "How do I restore a backup?"})).structured_content
        assert (first["text"], first["outcome"]) == ("Restore is the feature [1].", "answered")
        assert (first["citations"][0]["title"], first["citations"][0]["cited"]) == ("Restore is the feature", True)
        history = [
            {"role": "user", "content": "How do I restore a backup?"},
            {"role": "assistant", "content": first["text"]},
        ]
        again = await client.call_tool("ask", {"question": "And how often?", "history": history})
        assert again.structured_content["citations"]
        assert first["text"] in str(engine.requests[-1]["messages"])

        drafted = await client.call_tool("draft", {"kind": "post", "brief": "restoring backups every month"})
        assert drafted.structured_content["citations"][0]["cited"] is True

        cited = first["citations"][0]["document_id"]
        (read,) = (await client.read_resource(f"twin://documents/{cited}")).contents
        assert "Everybody wants to restore" in read.text


async def test_the_author_is_the_keys_and_nothing_names_another(api: Api) -> None:
    async with connected(api, api.key) as jane:
        found = (await jane.call_tool("search", {"query": "launch code heliotrope seventeen"})).structured_content
        assert "heliotrope" not in str(found)
    async with connected(api, api.new_key(api.mallory).secret) as mallory:
        hers = (await mallory.call_tool("search", {"query": "launch code"})).structured_content
        secret = hers["passages"][0]["document_id"]
        assert "heliotrope" in str(hers)
    async with connected(api, api.key) as jane:
        for uri in (f"twin://documents/{secret}", "twin://documents/x", "twin://documents/../../etc/passwd"):
            with pytest.raises(MCPError):
                await jane.read_resource(uri)


async def test_a_tool_that_the_key_may_not_use_says_so(api: Api, engine: ChatServer) -> None:
    async with connected(api, api.key) as client:
        refused = await client.call_tool("draft", {"kind": "post", "brief": "x"})
        assert refused.is_error
        assert "`write`" in str(refused.content)
        empty = await client.call_tool("ask", {"question": "   "})
        assert empty.is_error
        assert "There is no question" in str(empty.content)
    assert engine.requests == []


async def test_what_breaks_inside_is_told_to_nobody(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("/secret/path of ours")

    monkeypatch.setattr("twin_api.mcp.retrieve", broken)
    async with connected(api, api.key) as client:
        answer = await client.call_tool("search", {"query": "x"})
    assert answer.is_error
    assert "secret" not in str(answer.content)


CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


def posted(api: Api, **headers: str) -> httpx2.Response:
    sent = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream", **headers}
    return httpx2.post(f"{api.url}/mcp", json=CALL, headers=sent, trust_env=False)


def test_without_a_key_by_another_name_or_from_another_site_nothing_is_answered(api: Api) -> None:
    key = {"Authorization": f"Bearer {api.key}"}
    assert posted(api, **key).status_code == 200
    assert posted(api).status_code == 401
    assert posted(api, Authorization="Bearer twin_nobody").status_code == 401
    assert posted(api, **key, Host="evil.example").status_code == 421
    assert posted(api, **key, Origin="https://evil.example").status_code == 403
    assert posted(api, **key, Origin=api.url).status_code == 200
    with api.client() as client:
        assert client.get("/mcp").status_code == 405
        assert client.delete("/mcp").status_code == 405
        sent = {"Content-Type": "application/json", "Accept": "application/json"}
        assert client.post("/mcp", content=b"x" * 300_000, headers=sent).status_code == 413

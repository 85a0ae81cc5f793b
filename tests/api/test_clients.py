"""Other people's programs, unmodified: the `openai` client, curl, and a client generated from our schema."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import openai
import pytest

from tests.api.conftest import Api
from tests.models.chat_server import ChatServer
from twin_core.models.embedder import embedder
from twin_core.settings import Settings

ASKED = "How do I restore a backup?"
WHOLE = "Restore is the feature [1]."
FIRST = [{"role": "user", "content": ASKED}]
MORE = [*FIRST, {"role": "assistant", "content": WHOLE}, {"role": "user", "content": "And how often?"}]


@pytest.fixture
def client(api: Api) -> openai.OpenAI:
    http = openai.DefaultHttpxClient(trust_env=False)
    return openai.OpenAI(base_url=f"{api.url}/v1", api_key=api.key, http_client=http, max_retries=0)


class TestTheOpenaiClient:
    def test_lists_the_models_and_embeds_with_one_of_them(self, client: openai.OpenAI, settings: Settings) -> None:
        twin, embeds = [model.id for model in client.models.list()]
        assert twin == "jane"
        assert client.models.retrieve(embeds).id == embeds
        texts = ["I restore a backup every month.", "Rye likes it cool."]
        made = client.embeddings.create(model=embeds, input=texts)
        expected = embedder(settings).encode(texts)
        assert np.allclose([one.embedding for one in made.data], expected, atol=1e-6)
        assert made.usage.total_tokens == sum(embedder(settings).count(texts))
        as_numbers = client.embeddings.create(model=embeds, input=texts[0], encoding_format="float")
        assert np.allclose(as_numbers.data[0].embedding, expected[0], atol=1e-6)
        packed = client.embeddings.with_raw_response.create(model=embeds, input=texts[0], encoding_format="base64")
        raw = base64.b64decode(json.loads(packed.content)["data"][0]["embedding"])
        assert np.allclose(np.frombuffer(raw, "<f4"), expected[0], atol=1e-6)

    def test_holds_a_conversation_with_citations_whole(self, client: openai.OpenAI, engine: ChatServer) -> None:
        first = client.chat.completions.create(model="jane", messages=FIRST)
        assert first.choices[0].message.content == WHOLE
        assert first.model_extra["citations"][0]["title"] == "Restore is the feature"
        second = client.chat.completions.create(model="jane", messages=MORE)
        assert second.model_extra["citations"][0]["cited"] is True
        assert WHOLE in str(engine.requests[-1]["messages"])

    def test_holds_a_conversation_with_citations_streamed(self, client: openai.OpenAI) -> None:
        for messages in (FIRST, MORE):
            written, citations = "", []
            for chunk in client.chat.completions.create(model="jane", messages=messages, stream=True):
                written += "".join(choice.delta.content or "" for choice in chunk.choices)
                citations = (chunk.model_extra or {}).get("citations") or citations
            assert written == WHOLE
            assert citations[0]["cited"] is True
            assert "Everybody wants to restore" in citations[0]["text"]

    def test_meets_errors_as_its_own_exceptions(self, api: Api, client: openai.OpenAI) -> None:
        embeds = [model.id for model in client.models.list()][1]
        with pytest.raises(openai.NotFoundError, match="It may ask `jane`"):
            client.chat.completions.create(model="mallory", messages=FIRST)
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(model="jane", messages=[])
        with pytest.raises(openai.BadRequestError, match="cannot|cut"):
            client.embeddings.create(model=embeds, input="x", dimensions=64)
        with pytest.raises(openai.BadRequestError, match="alphabet"):
            client.embeddings.create(model=embeds, input=[[1, 2, 3]])
        with pytest.raises(openai.BadRequestError, match="1 to 128"):
            client.embeddings.create(model=embeds, input=["x"] * 129)
        with pytest.raises(openai.BadRequestError):
            client.embeddings.create(model=embeds, input=" ")
        with pytest.raises(openai.NotFoundError, match="embedding model"):
            client.embeddings.create(model="text-embedding-3-small", input="x")
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="twin_nobody").models.list()
        reader = api.new_key(api.jane)
        with api.database.transaction() as conn:
            conn.exec_driver_sql(f"UPDATE serving.api_keys SET scopes = '{{}}' WHERE id = '{reader.key.id}'")
        with pytest.raises(openai.PermissionDeniedError):
            client.with_options(api_key=reader.secret).models.list()

    def test_meets_a_break_in_the_middle_as_an_error(self, client: openai.OpenAI, engine: ChatServer) -> None:
        engine.fault = "error mid-stream"
        with pytest.raises((openai.InternalServerError, openai.APIError)):
            for _ in client.chat.completions.create(model="jane", messages=FIRST, stream=True):
                pass


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
class TestCurl:
    def asked(self, key: str, *arguments: str) -> str:
        command = ["curl", "-sS", "--noproxy", "*", "-H", f"Authorization: Bearer {key}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def test_holds_the_same_conversation_whole_and_streamed(self, api: Api) -> None:
        url = f"{api.url}/v1/chat/completions"
        sent = ["-H", "Content-Type: application/json", url, "-d"]
        whole = json.loads(self.asked(api.key, *sent, json.dumps({"model": "jane", "messages": FIRST})))
        assert whole["choices"][0]["message"]["content"] == WHOLE
        assert whole["citations"][0]["cited"] is True
        streamed = self.asked(api.key, "-N", *sent, json.dumps({"model": "jane", "stream": True, "messages": MORE}))
        lines = [line.removeprefix("data: ") for line in streamed.splitlines() if line.startswith("data: ")]
        assert lines[-1] == "[DONE]"
        chunks = [json.loads(line) for line in lines[:-1]]
        assert chunks[-1]["citations"][0]["title"] == "Restore is the feature"

    def test_uploads_an_export_and_searches(self, api: Api, tmp_path: Path) -> None:
        (tmp_path / "export.zip").write_bytes(b"x")
        key = api.new_key(api.jane, "write").secret
        form = ["-F", f"file=@{tmp_path / 'export.zip'}", "-F", "mine=true", f"{api.url}/v1/imports"]
        assert json.loads(self.asked(key, *form))["state"] == "requested"


GENERATED = """
import sys
from twin_client import AuthenticatedClient
from twin_client.api.chat import v1_chat_completions_complete as ask
from twin_client.api.search import v1_search_search_passages as search
from twin_client.api.sources import v1_sources_sources as sources
from twin_client.models import ChatRequest, SearchRequest

client = AuthenticatedClient(base_url=sys.argv[1], token=sys.argv[2], httpx_args={"trust_env": False}, timeout=60)
found = search.sync(client=client, body=SearchRequest.from_dict({"query": "restore a backup", "k": 2}))
print(found.passages[0].title)
messages = [{"role": "user", "content": "How do I restore a backup?"}]
answer = ask.sync(client=client, body=ChatRequest.from_dict({"model": "jane", "messages": messages}))
print(answer.choices[0].message.content, answer.citations[0].cited)
print(len(sources.sync(client=client).sources))
"""


def test_a_client_generated_from_the_schema_searches_asks_and_lists_sources(api: Api, tmp_path: Path) -> None:
    made = subprocess.run(
        ["make", "-s", "client", f"CLIENT={tmp_path / 'client'}", f"BIN={Path(sys.executable).parent}", "STAMP=Makefile"],
        capture_output=True, text=True, check=False, timeout=300, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert made.returncode == 0, made.stdout + made.stderr
    # Its generator knows no files of lines or Parquet: that one route is left out of the client.
    left_out = [line for line in (made.stdout + made.stderr).splitlines() if line.startswith("WARNING parsing")]
    assert all("/v1/traces/export" in line for line in left_out), left_out
    told = subprocess.run(
        [sys.executable, "-c", GENERATED, api.url, api.key],
        capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path / "client",
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == ["Restore is the feature", f"{WHOLE} True", "1"]

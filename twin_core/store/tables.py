"""The tables as SQLAlchemy Core objects, for queries written in Python.

The truth about the schema is `migrations/`; a test compares the two. Constraints, policies and functions are
there only, because nothing here creates anything.
"""

from __future__ import annotations

from typing import Any

from pgvector.sqlalchemy import HALFVEC
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import TypeEngine

metadata = MetaData()


def _table(name: str, *columns: Column[Any]) -> Table:
    schema, plain = name.split(".")
    return Table(plain, metadata, *columns, schema=schema)


def _column(name: str, kind: TypeEngine[Any], *, key: bool = False, null: bool = False) -> Column[Any]:
    return Column(name, kind, primary_key=key, nullable=null)


_Time = DateTime(timezone=True)
_Json = JSONB()

authors = _table(
    "warehouse.authors",
    _column("id", Uuid(), key=True),
    _column("slug", Text()),
    _column("name", Text()),
    _column("language", Text()),
    _column("tombstone_salt", Text()),
    _column("created_at", _Time),
)

sources = _table(
    "warehouse.sources",
    _column("id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("platform", Text()),
    _column("locator", Text()),
    _column("schedule", Text(), null=True),
    _column("options", _Json),
    _column("consent_claimed_by", Text()),
    _column("consent_proof", Text()),
    _column("consent_at", _Time),
    _column("next_run_at", _Time, null=True),
    _column("last_success_at", _Time, null=True),
    _column("paused", Boolean()),
    _column("created_at", _Time),
)

collect_runs = _table(
    "warehouse.collect_runs",
    _column("id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("source_id", Uuid()),
    _column("started_at", _Time),
    _column("finished_at", _Time, null=True),
    *(_column(name, Integer()) for name in ("fetched", "unchanged", "skipped", "failed", "deleted")),
    _column("own_count", Integer(), null=True),
    _column("seconds", Double(), null=True),
    _column("error", Text(), null=True),
    _column("empty", Integer()),
)

ledger = _table(
    "warehouse.ledger",
    _column("run_id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("source_id", Uuid()),
    _column("native_id", Text(), key=True),
    _column("location", Text()),
    _column("outcome", Text()),
    _column("reason", Text(), null=True),
    _column("document_id", Uuid(), null=True),
    _column("at", _Time),
    _column("empty", Boolean()),
)

documents = _table(
    "warehouse.documents",
    _column("id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("source_id", Uuid()),
    _column("category", Text()),
    _column("state", Text()),
    _column("head_revision_id", Uuid()),
    _column("content_hash", Text()),
    _column("merged_into", Uuid(), null=True),
    _column("created_at", _Time),
    _column("updated_at", _Time),
)

revisions = _table(
    "warehouse.revisions",
    _column("id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("document_id", Uuid()),
    _column("source_id", Uuid()),
    _column("native_id", Text()),
    _column("content_hash", Text()),
    _column("fetched_at", _Time),
)

document_locations = _table(
    "warehouse.document_locations",
    _column("author_id", Uuid()),
    _column("source_id", Uuid(), key=True),
    _column("native_id", Text(), key=True),
    _column("document_id", Uuid()),
    _column("revision_id", Uuid()),
    _column("location", Text()),
    _column("content_hash", Text()),
    _column("validators", _Json),
    _column("state", Text()),
    _column("mints", Integer()),
    _column("first_seen_at", _Time),
    _column("last_seen_at", _Time),
    *(_column(name, Text(), null=True) for name in ("canonical_url", "address", "platform_id")),
    _column("words", Integer(), null=True),
    _column("signature", LargeBinary(), null=True),
    _column("bands", ARRAY(BigInteger()), null=True),
    _column("changed_at", _Time, null=True),
    _column("joined_by", Text()),
    _column("evidence", Text(), null=True),
    _column("leads", Text(), null=True),
)

raw_documents = _table(
    "warehouse.raw_documents",
    _column("revision_id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("document_id", Uuid()),
    _column("raw", _Json),
)

tombstones = _table(
    "warehouse.tombstones",
    _column("author_id", Uuid(), key=True),
    _column("hash", Text(), key=True),
    _column("kind", Text()),
    _column("forgotten_at", _Time),
)

tombstone_texts = _table(
    "warehouse.tombstone_texts",
    _column("author_id", Uuid(), key=True),
    _column("hash", Text(), key=True),
    _column("bands", ARRAY(Text())),
    _column("forgotten_at", _Time),
)

collect_requests = _table(
    "warehouse.collect_requests",
    _column("id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("source_id", Uuid()),
    _column("state", Text()),
    _column("run_id", Uuid(), null=True),
    _column("requested_at", _Time),
    _column("finished_at", _Time, null=True),
)

import_requests = _table(
    "warehouse.import_requests",
    _column("id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("name", Text()),
    _column("bytes", BigInteger()),
    _column("sha256", Text()),
    _column("own", ARRAY(Text())),
    _column("mine", Boolean()),
    _column("claimed_by", Text()),
    _column("state", Text()),
    _column("attempts", Integer()),
    _column("source_ids", ARRAY(Uuid())),
    _column("collect_ids", ARRAY(Uuid())),
    _column("problem", Text(), null=True),
    _column("requested_at", _Time),
    _column("finished_at", _Time, null=True),
)

forget_requests = _table(
    "warehouse.forget_requests",
    _column("id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("document_ids", ARRAY(Uuid())),
    _column("state", Text()),
    _column("receipt", _Json, null=True),
    _column("requested_at", _Time),
    _column("finished_at", _Time, null=True),
    _column("attempts", Integer()),
    _column("problem", Text(), null=True),
)

cleaned_documents = _table(
    "features.cleaned_documents",
    _column("revision_id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("document_id", Uuid()),
    _column("source_id", Uuid()),
    _column("category", Text()),
    _column("title", Text()),
    _column("text", Text()),
    _column("text_hash", Text()),
    _column("language", Text()),
    _column("words", Integer()),
    _column("location", Text()),
    _column("written_at", _Time, null=True),
    _column("metadata", _Json),
    _column("signature", LargeBinary(), null=True),
    _column("cluster_id", Uuid()),
    _column("stage_version", Text()),
    _column("cleaned_at", _Time),
)

chunked_documents = _table(
    "features.chunked_documents",
    _column("document_id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("revision_id", Uuid()),
    _column("input_hash", Text()),
    _column("stage_version", Text()),
    _column("chunks", Integer()),
    _column("chunked_at", _Time),
)

chunks = _table(
    "features.chunks",
    _column("id", Uuid(), key=True),
    _column("key", BigInteger()),
    _column("author_id", Uuid()),
    _column("document_id", Uuid()),
    _column("revision_id", Uuid()),
    _column("category", Text()),
    _column("ordinal", Integer()),
    _column("text", Text()),
    _column("context", Text()),
    _column("start_at", Integer()),
    _column("end_at", Integer()),
    _column("tokens", Integer()),
    _column("embed_hash", Text()),
    _column("search_config", Text()),
    _column("lexemes", Integer()),
)

postings = _table(
    "features.postings",
    _column("author_id", Uuid()),
    _column("lexeme", Text()),
    _column("chunk_key", BigInteger()),
    _column("tf", SmallInteger()),
    _column("len", Integer()),
)

lexical_totals = _table(
    "features.lexical_totals",
    _column("author_id", Uuid(), key=True),
    _column("chunks", BigInteger()),
    _column("lexemes", BigInteger()),
)

embedding_models = _table(
    "features.embedding_models",
    _column("id", Text(), key=True),
    _column("dimension", Integer()),
    _column("serving", Boolean()),
    _column("created_at", _Time),
)

embeddings = _table(
    "features.embeddings",
    _column("author_id", Uuid()),
    _column("chunk_id", Uuid(), key=True),
    _column("model_id", Text(), key=True),
    _column("embed_hash", Text()),
    _column("embedding", HALFVEC()),
)

failures = _table(
    "features.failures",
    _column("author_id", Uuid()),
    _column("stage", Text(), key=True),
    _column("document_id", Uuid(), key=True),
    _column("input_hash", Text()),
    _column("stage_version", Text()),
    _column("reason", Text()),
    _column("failed_at", _Time),
)

maintenance = _table(
    "features.maintenance",
    _column("id", BigInteger(), key=True),
    _column("author_id", Uuid(), null=True),
    _column("action", Text()),
    _column("detail", Text()),
    _column("seconds", Double()),
    _column("at", _Time),
)

api_keys = _table(
    "serving.api_keys",
    _column("id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("name", Text()),
    _column("key_hash", Text()),
    _column("prefix", Text()),
    _column("scopes", ARRAY(Text())),
    _column("created_at", _Time),
    _column("expires_at", _Time, null=True),
    _column("revoked_at", _Time, null=True),
)

kept_responses = _table(
    "serving.kept_responses",
    _column("key_id", Uuid(), key=True),
    _column("key", Text(), key=True),
    _column("author_id", Uuid()),
    _column("fingerprint", Text()),
    _column("status", Integer(), null=True),
    _column("headers", _Json),
    _column("body", LargeBinary(), null=True),
    _column("expires_at", _Time),
)

token_use = _table(
    "serving.token_use",
    _column("key_id", Uuid(), key=True),
    _column("minute", _Time, key=True),
    _column("author_id", Uuid()),
    _column("tokens", BigInteger()),
)

sessions = _table(
    "serving.sessions",
    _column("id_hash", Text(), key=True),
    _column("author_id", Uuid()),
    _column("key_id", Uuid()),
    _column("created_at", _Time),
    _column("expires_at", _Time),
)

sql_roles = _table("serving.sql_roles", _column("role_name", Text(), key=True), _column("author_id", Uuid()))

traces = _table(
    "serving.traces",
    _column("id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("at", _Time),
    _column("question", Text()),
    _column("answer", Text()),
    _column("outcome", Text()),
    _column("prompt_version", Text()),
    _column("model", Text(), null=True),
    _column("timings", _Json),
    _column("usage", _Json),
    _column("error", Text(), null=True),
    _column("kind", Text()),
    _column("parent_id", Uuid(), null=True),
    _column("instruction", Text(), null=True),
    _column("links", _Json),
    _column("retrieval", Text()),
    _column("queries", ARRAY(Text())),
    _column("filters", _Json),
    _column("engine", Text(), null=True),
    _column("deployment_id", Uuid(), null=True),
    _column("cost", Double(), null=True),
    _column("texts", Text()),
    _column("mlflow_id", Text(), null=True),
    _column("cached_from", Uuid(), null=True),
)

trace_passages = _table(
    "serving.trace_passages",
    _column("trace_id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("label", Integer(), key=True),
    _column("chunk_id", Uuid()),
    _column("document_id", Uuid()),
    _column("revision_id", Uuid()),
    _column("start_at", Integer()),
    _column("end_at", Integer()),
    _column("text", Text()),
    _column("score", Double()),
    _column("cited", Boolean()),
)

cached_answers = _table(
    "serving.cached_answers",
    _column("author_id", Uuid(), key=True),
    _column("key", Text(), key=True),
    _column("trace_id", Uuid()),
    _column("at", _Time),
)

trace_candidates = _table(
    "serving.trace_candidates",
    _column("trace_id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("rank", Integer(), key=True),
    _column("chunk_id", Uuid()),
    _column("document_id", Uuid()),
    _column("score", Double()),
    _column("legs", _Json),
)

examples = _table(
    "training.examples",
    _column("id", Text(), key=True),
    _column("author_id", Uuid()),
    _column("document_id", Uuid()),
    _column("revision_id", Uuid()),
    _column("kind", Text()),
    _column("category", Text()),
    _column("origin", Text()),
    _column("input_hash", Text()),
    _column("prompt", _Json),
    _column("answer", Text()),
    _column("rejected", Text(), null=True),
    _column("language", Text()),
    _column("words", Integer()),
    _column("start_at", Integer()),
    _column("end_at", Integer()),
    _column("context_document_ids", ARRAY(Uuid())),
    _column("created_at", _Time),
)

dataset_versions = _table(
    "training.dataset_versions",
    _column("id", Text(), key=True),
    _column("author_id", Uuid()),
    _column("kind", Text()),
    _column("input_hash", Text()),
    _column("examples", Integer()),
    _column("manifest", _Json),
    _column("created_at", _Time),
    _column("published_at", _Time),
    _column("tainted_at", _Time, null=True),
)

dataset_examples = _table(
    "training.dataset_examples",
    _column("version_id", Text(), key=True),
    _column("example_id", Text(), key=True),
    _column("author_id", Uuid()),
    _column("split", Text()),
    _column("rank", Integer()),
)

dataset_documents = _table(
    "training.dataset_documents",
    _column("version_id", Text(), key=True),
    _column("document_id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("revision_id", Uuid()),
    _column("split", Text()),
    _column("passages", Integer()),
)

dataset_drops = _table(
    "training.dataset_drops",
    _column("version_id", Text(), key=True),
    _column("document_id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("category", Text()),
    _column("reason", Text(), key=True),
    _column("passages", Integer()),
)

llm_answers = _table(
    "training.llm_answers",
    _column("author_id", Uuid()),
    _column("document_id", Uuid(), key=True),
    _column("key", Text(), key=True),
    _column("purpose", Text()),
    _column("model", Text()),
    _column("prompt_version", Text()),
    _column("answer", Text(), null=True),
    _column("reason", Text(), null=True),
    _column("context_document_ids", ARRAY(Uuid())),
    _column("created_at", _Time),
)

files = _table(
    "training.files",
    _column("key", Text(), key=True),
    _column("author_id", Uuid()),
    _column("kind", Text()),
    _column("version_id", Text(), null=True),
    _column("document_ids", ARRAY(Uuid())),
    _column("bytes", BigInteger()),
    _column("created_at", _Time),
)

feedback = _table(
    "serving.feedback",
    _column("id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("trace_id", Uuid()),
    _column("verdict", Text(), null=True),
    _column("edited", Text(), null=True),
    _column("key_id", Uuid(), null=True),
    _column("at", _Time),
    _column("exported_at", _Time, null=True),
)

attempts = _table(
    "training.attempts",
    _column("id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("kind", Text()),
    _column("job_hash", Text()),
    _column("version_id", Text()),
    _column("job", _Json),
    _column("state", Text()),
    _column("host", Text()),
    _column("pid", Integer()),
    _column("progress", _Json),
    _column("reason", Text(), null=True),
    _column("adapter_id", Text(), null=True),
    _column("started_at", _Time),
    _column("heartbeat_at", _Time),
    _column("finished_at", _Time, null=True),
)

adapters = _table(
    "training.adapters",
    _column("id", Text(), key=True),
    _column("author_id", Uuid()),
    _column("version", Integer()),
    _column("kind", Text()),
    _column("base_model", Text()),
    _column("base_hash", Text()),
    _column("version_id", Text()),
    _column("fraction", Double()),
    _column("parent_id", Text(), null=True),
    _column("attempt_id", Uuid()),
    _column("file_key", Text()),
    _column("config", _Json),
    _column("metrics", _Json),
    _column("code_revision", Text()),
    _column("mlflow_run_id", Text(), null=True),
    _column("created_at", _Time),
)

author_defaults = _table(
    "training.author_defaults",
    _column("author_id", Uuid(), key=True),
    _column("profile", Text(), key=True),
    _column("changes", _Json),
    _column("score", Double()),
    _column("trials", Integer()),
    _column("version_id", Text()),
    _column("found_at", _Time),
)

evaluations = _table(
    "training.evaluations",
    _column("id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("adapter_id", Text()),
    _column("version_id", Text()),
    _column("split_id", Text()),
    _column("documents", Integer()),
    _column("champion_id", Text(), null=True),
    _column("against", _Json),
    _column("figures", _Json),
    _column("notes", ARRAY(Text())),
    _column("report_key", Text(), null=True),
    _column("at", _Time),
)

samples = _table(
    "training.samples",
    _column("evaluation_id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("other", Text()),
    _column("count", Integer()),
    _column("file_key", Text()),
)

sample_votes = _table(
    "training.sample_votes",
    _column("evaluation_id", Uuid(), key=True),
    _column("sample", Integer(), key=True),
    _column("author_id", Uuid()),
    _column("better", Text()),
    _column("key_id", Uuid(), null=True),
    _column("at", _Time),
)

approvals = _table(
    "training.approvals",
    _column("id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("adapter_id", Text()),
    _column("verdict", Text()),
    _column("by", Text()),
    _column("reason", Text(), null=True),
    _column("at", _Time),
    _column("state", Text()),
    _column("attempts", Integer()),
    _column("decision", _Json, null=True),
    _column("problem", Text(), null=True),
    _column("finished_at", _Time, null=True),
)

deployments = _table(
    "serving.deployments",
    _column("id", Uuid(), key=True),
    _column("author_id", Uuid()),
    _column("adapter_id", Text()),
    _column("engine", Text()),
    _column("served_name", Text()),
    _column("url", Text(), null=True),
    _column("state", Text()),
    _column("approval_id", Uuid(), null=True),
    _column("previous_id", Uuid(), null=True),
    _column("reason", Text(), null=True),
    _column("at", _Time),
    _column("since", _Time),
)

"""The ground: authors, sources, ledger, documents, features, keys, traces; roles and row-level security.

Isolation, in short. Every row carries `author_id`. Three kinds of role touch it:
  twin_pipeline  group of the owner; collection and features work on all authors, with explicit predicates;
  twin_api       login of the API; sees the author named by `app.author_id`, set per transaction;
  twin_people    group of one login per author for people's SQL; bound to `session_user`, which SQL cannot change.
Tables FORCE row-level security, so that the owner is held too where the owner is not a superuser.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SCHEMAS = ("warehouse", "features", "serving", "analytics")

TABLES = """
CREATE TABLE warehouse.authors (
    id uuid PRIMARY KEY,
    slug text NOT NULL UNIQUE CHECK (slug ~ '^[a-z0-9][a-z0-9-]{0,62}$'),
    name text NOT NULL,
    language text NOT NULL DEFAULT 'en',
    tombstone_salt text NOT NULL DEFAULT encode(sha256(gen_random_uuid()::text::bytea), 'hex'),
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE warehouse.sources (
    id uuid PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    platform text NOT NULL,
    locator text NOT NULL,
    schedule text,
    options jsonb NOT NULL DEFAULT '{}',
    consent_claimed_by text NOT NULL,
    consent_proof text NOT NULL,
    consent_at timestamptz NOT NULL,
    next_run_at timestamptz,
    last_success_at timestamptz,
    paused boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (author_id, platform, locator)
);
CREATE INDEX sources_due ON warehouse.sources (next_run_at) WHERE NOT paused;

CREATE TABLE warehouse.collect_runs (
    id uuid PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    source_id uuid NOT NULL REFERENCES warehouse.sources ON DELETE CASCADE,
    started_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    fetched integer NOT NULL DEFAULT 0,
    unchanged integer NOT NULL DEFAULT 0,
    skipped integer NOT NULL DEFAULT 0,
    failed integer NOT NULL DEFAULT 0,
    deleted integer NOT NULL DEFAULT 0,
    own_count integer,
    seconds double precision,
    error text
);
CREATE INDEX collect_runs_by_source ON warehouse.collect_runs (source_id, started_at DESC);

CREATE TABLE warehouse.ledger (
    run_id uuid NOT NULL REFERENCES warehouse.collect_runs ON DELETE CASCADE,
    author_id uuid NOT NULL,
    source_id uuid NOT NULL,
    native_id text NOT NULL,
    location text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('fetched', 'unchanged', 'skipped', 'failed', 'deleted')),
    reason text,
    document_id uuid,
    at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run_id, native_id)
);

CREATE TABLE warehouse.documents (
    id uuid PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    source_id uuid NOT NULL REFERENCES warehouse.sources ON DELETE CASCADE,
    category text NOT NULL CHECK (category IN ('article', 'post', 'code')),
    state text NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'gone', 'merged')),
    head_revision_id uuid NOT NULL,
    content_hash text NOT NULL,
    merged_into uuid REFERENCES warehouse.documents ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((state = 'merged') = (merged_into IS NOT NULL))
);
CREATE INDEX documents_by_content ON warehouse.documents (author_id, content_hash);

CREATE TABLE warehouse.revisions (
    id uuid PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    document_id uuid NOT NULL REFERENCES warehouse.documents ON DELETE CASCADE,
    source_id uuid NOT NULL,
    native_id text NOT NULL,
    content_hash text NOT NULL,
    fetched_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (document_id, content_hash)
);

CREATE TABLE warehouse.document_locations (
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    source_id uuid NOT NULL REFERENCES warehouse.sources ON DELETE CASCADE,
    native_id text NOT NULL,
    document_id uuid NOT NULL REFERENCES warehouse.documents ON DELETE CASCADE,
    revision_id uuid NOT NULL,
    location text NOT NULL,
    content_hash text NOT NULL,
    validators jsonb NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'gone')),
    mints integer NOT NULL DEFAULT 1,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source_id, native_id)
);
CREATE INDEX locations_by_document ON warehouse.document_locations (document_id);

CREATE TABLE warehouse.raw_documents (
    revision_id uuid PRIMARY KEY,
    author_id uuid NOT NULL,
    document_id uuid NOT NULL,
    raw jsonb NOT NULL
);
CREATE INDEX raw_documents_by_document ON warehouse.raw_documents (document_id);

CREATE TABLE warehouse.tombstones (
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    hash text NOT NULL,
    kind text NOT NULL CHECK (kind IN ('location', 'content')),
    forgotten_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (author_id, hash)
);

CREATE TABLE warehouse.forget_requests (
    id uuid PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    document_ids uuid[] NOT NULL,
    state text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'done')),
    receipt jsonb,
    requested_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);

CREATE TABLE features.cleaned_documents (
    revision_id uuid PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    document_id uuid NOT NULL REFERENCES warehouse.documents ON DELETE CASCADE,
    source_id uuid NOT NULL,
    category text NOT NULL CHECK (category IN ('article', 'post', 'code')),
    title text NOT NULL,
    text text NOT NULL CHECK (text <> ''),
    text_hash text NOT NULL,
    language text NOT NULL,
    words integer NOT NULL,
    location text NOT NULL,
    written_at timestamptz,
    metadata jsonb NOT NULL DEFAULT '{}',
    signature bytea,
    cluster_id uuid NOT NULL,
    stage_version text NOT NULL,
    cleaned_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX cleaned_by_document ON features.cleaned_documents (document_id);
CREATE INDEX cleaned_by_author ON features.cleaned_documents (author_id, category, written_at);

CREATE TABLE features.chunked_documents (
    document_id uuid PRIMARY KEY REFERENCES warehouse.documents ON DELETE CASCADE,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    revision_id uuid NOT NULL,
    input_hash text NOT NULL,
    stage_version text NOT NULL,
    chunks integer NOT NULL,
    chunked_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX chunked_by_author ON features.chunked_documents (author_id);

CREATE TABLE features.chunks (
    id uuid PRIMARY KEY,
    key bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    document_id uuid NOT NULL REFERENCES features.chunked_documents ON DELETE CASCADE,
    revision_id uuid NOT NULL,
    category text NOT NULL CHECK (category IN ('article', 'post', 'code')),
    ordinal integer NOT NULL,
    text text NOT NULL CHECK (text <> ''),
    context text NOT NULL,
    start_at integer NOT NULL CHECK (start_at >= 0),
    end_at integer NOT NULL CHECK (end_at > start_at),
    tokens integer NOT NULL,
    embed_hash text NOT NULL,
    search_config text NOT NULL,
    lexemes integer NOT NULL DEFAULT 0,
    UNIQUE (document_id, ordinal) DEFERRABLE INITIALLY DEFERRED
);
CREATE INDEX chunks_by_kind ON features.chunks (author_id, category, search_config, key) INCLUDE (id, lexemes);

CREATE TABLE features.postings (
    author_id uuid NOT NULL,
    lexeme text NOT NULL,
    chunk_key bigint NOT NULL REFERENCES features.chunks (key) ON DELETE CASCADE,
    tf smallint NOT NULL,
    len integer NOT NULL
);
CREATE INDEX postings_by_lexeme ON features.postings (author_id, lexeme) INCLUDE (chunk_key, tf, len);
CREATE INDEX postings_by_chunk ON features.postings (chunk_key);

CREATE TABLE features.lexical_totals (
    author_id uuid PRIMARY KEY REFERENCES warehouse.authors ON DELETE CASCADE,
    chunks bigint NOT NULL,
    lexemes bigint NOT NULL
);

CREATE TABLE features.embedding_models (
    id text PRIMARY KEY,
    dimension integer NOT NULL,
    serving boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX one_serving_model ON features.embedding_models (serving) WHERE serving;

CREATE TABLE features.embeddings (
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    chunk_id uuid NOT NULL REFERENCES features.chunks ON DELETE CASCADE,
    model_id text NOT NULL REFERENCES features.embedding_models,
    embed_hash text NOT NULL,
    embedding halfvec NOT NULL,
    PRIMARY KEY (chunk_id, model_id)
);
CREATE INDEX embeddings_by_author ON features.embeddings (author_id, model_id, embed_hash);

CREATE TABLE features.failures (
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    stage text NOT NULL,
    document_id uuid NOT NULL REFERENCES warehouse.documents ON DELETE CASCADE,
    input_hash text NOT NULL,
    stage_version text NOT NULL,
    reason text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (document_id, stage)
);

CREATE TABLE features.maintenance (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    author_id uuid REFERENCES warehouse.authors ON DELETE CASCADE,
    action text NOT NULL,
    detail text NOT NULL,
    seconds double precision NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE serving.api_keys (
    id uuid PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    name text NOT NULL,
    key_hash text NOT NULL UNIQUE,
    prefix text NOT NULL,
    scopes text[] NOT NULL CHECK (scopes <@ ARRAY['read', 'write', 'admin']),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    revoked_at timestamptz
);

CREATE TABLE serving.sql_roles (
    role_name text PRIMARY KEY,
    author_id uuid NOT NULL UNIQUE REFERENCES warehouse.authors ON DELETE CASCADE
);

CREATE TABLE serving.traces (
    id uuid PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    at timestamptz NOT NULL DEFAULT now(),
    question text NOT NULL,
    answer text NOT NULL,
    outcome text NOT NULL CHECK (outcome IN ('answered', 'retrieval_only', 'interrupted', 'failed')),
    prompt_version text NOT NULL,
    model text,
    timings jsonb NOT NULL DEFAULT '{}',
    usage jsonb NOT NULL DEFAULT '{}',
    error text
);
CREATE INDEX traces_by_author ON serving.traces (author_id, at DESC);

CREATE TABLE serving.trace_passages (
    trace_id uuid NOT NULL REFERENCES serving.traces ON DELETE CASCADE,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    label integer NOT NULL,
    chunk_id uuid NOT NULL,
    document_id uuid NOT NULL,
    revision_id uuid NOT NULL,
    start_at integer NOT NULL,
    end_at integer NOT NULL,
    text text NOT NULL,
    score double precision NOT NULL,
    cited boolean NOT NULL DEFAULT false,
    PRIMARY KEY (trace_id, label)
);
CREATE INDEX trace_passages_by_document ON serving.trace_passages (document_id);
"""

FUNCTIONS = """
CREATE FUNCTION serving.author_in_session() RETURNS uuid LANGUAGE sql STABLE
    AS $$ SELECT NULLIF(current_setting('app.author_id', true), '')::uuid $$;

CREATE FUNCTION serving.author_of_session_user() RETURNS uuid LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$ SELECT author_id FROM serving.sql_roles WHERE role_name = session_user $$;

-- The only question that is asked before the author is known: whose key is this?
CREATE FUNCTION serving.author_of_key(hash text)
    RETURNS TABLE (key_id uuid, author_id uuid, slug text, scopes text[]) LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT k.id, k.author_id, a.slug, k.scopes
        FROM serving.api_keys k JOIN warehouse.authors a ON a.id = k.author_id
        WHERE k.key_hash = hash AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
    $$;
REVOKE ALL ON FUNCTION serving.author_of_key(text) FROM PUBLIC;
REVOKE ALL ON FUNCTION serving.author_of_session_user() FROM PUBLIC;
REVOKE ALL ON FUNCTION serving.author_in_session() FROM PUBLIC;
"""

# What every login may do by default and people's SQL must not: hold the advisory lock of another author's pipeline,
# and fill the disk with large objects or messages in the log. Row-level security has no say in these. Only a superuser
# can take them away; elsewhere read-only transactions are what is left.
CLOSED_FUNCTIONS = """
DO $$
DECLARE closed regprocedure;
BEGIN
    IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN RETURN; END IF;
    FOR closed IN
        SELECT oid FROM pg_proc WHERE pronamespace = 'pg_catalog'::regnamespace
        AND (proname ~ '^pg_(try_)?advisory_' OR proname ~ '^(lo_|lowrite$|loread$)' OR proname = 'pg_logical_emit_message')
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', closed);
        EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO twin_pipeline, twin_api', closed);
    END LOOP;
END $$;
"""

VIEWS = """
CREATE VIEW analytics.documents WITH (security_invoker = true) AS
    SELECT d.author_id, d.id AS document_id, s.platform, s.locator AS source, d.category, c.title, c.location,
           c.language, c.words, c.written_at, d.created_at AS first_collected_at, d.updated_at,
           (SELECT count(*) FROM warehouse.revisions r WHERE r.document_id = d.id) AS revisions,
           (SELECT count(*) FROM warehouse.document_locations l WHERE l.document_id = d.id AND l.state = 'live')
               AS locations,
           c.text
    FROM warehouse.documents d
    JOIN warehouse.sources s ON s.id = d.source_id
    LEFT JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
    WHERE d.state = 'live';

CREATE VIEW analytics.chunks WITH (security_invoker = true) AS
    SELECT k.author_id, k.id AS chunk_id, k.document_id, k.revision_id, k.category, k.ordinal, k.context, k.text,
           k.start_at, k.end_at, k.tokens, c.title, c.location, c.written_at
    FROM features.chunks k
    JOIN features.cleaned_documents c ON c.revision_id = k.revision_id;

CREATE VIEW analytics.embedding_coverage WITH (security_invoker = true) AS
    SELECT k.author_id, m.id AS model_id, k.category, count(*) AS chunks, count(e.chunk_id) AS embedded,
           round(100.0 * count(e.chunk_id) / count(*), 1) AS percent
    FROM features.chunks k
    CROSS JOIN features.embedding_models m
    LEFT JOIN features.embeddings e ON e.chunk_id = k.id AND e.model_id = m.id AND e.author_id = k.author_id
    GROUP BY k.author_id, m.id, k.category;

CREATE VIEW analytics.source_outcomes WITH (security_invoker = true) AS
    SELECT r.author_id, s.id AS source_id, s.platform, s.locator AS source, r.id AS run_id, r.started_at, r.seconds,
           r.fetched, r.unchanged, r.skipped, r.failed, r.deleted, r.own_count, r.error
    FROM warehouse.collect_runs r JOIN warehouse.sources s ON s.id = r.source_id;

CREATE VIEW analytics.items WITH (security_invoker = true) AS
    SELECT l.author_id, s.platform, s.locator AS source, l.run_id, l.native_id, l.location, l.outcome, l.reason,
           l.document_id, l.at
    FROM warehouse.ledger l JOIN warehouse.sources s ON s.id = l.source_id;

CREATE VIEW analytics.answer_sources WITH (security_invoker = true) AS
    SELECT t.author_id, t.id AS trace_id, t.at, t.question, t.outcome, p.label, p.cited, p.document_id, p.revision_id,
           c.title, c.location, s.platform, s.locator AS source, p.start_at, p.end_at, p.text
    FROM serving.traces t
    JOIN serving.trace_passages p ON p.trace_id = t.id
    JOIN warehouse.documents d ON d.id = p.document_id
    JOIN warehouse.sources s ON s.id = d.source_id
    LEFT JOIN features.cleaned_documents c ON c.revision_id = p.revision_id;
"""

# Table -> column that names the author.
AUTHORED = {
    "warehouse.authors": "id",
    **{
        f"warehouse.{name}": "author_id"
        for name in (
            "sources", "collect_runs", "ledger", "documents", "revisions", "document_locations", "raw_documents",
            "tombstones", "forget_requests",
        )
    },
    **{
        f"features.{name}": "author_id"
        for name in (
            "cleaned_documents", "chunked_documents", "chunks", "postings", "lexical_totals", "embeddings", "failures",
            "maintenance",
        )
    },
    **{f"serving.{name}": "author_id" for name in ("api_keys", "sql_roles", "traces", "trace_passages")},
}  # fmt: skip

# What people's SQL must not read although a row is theirs: secrets and salts.
HIDDEN_FROM_PEOPLE = {"serving.api_keys", "serving.sql_roles", "warehouse.tombstones", "warehouse.authors"}

API_WRITES = {"serving.traces", "serving.trace_passages", "serving.api_keys", "warehouse.forget_requests"}


def _create_role(name: str, attributes: str) -> None:
    # Roles belong to the server, not to the database: another twin database may have made them already.
    # Two databases migrated at once (tests do) would collide between the question and the statement.
    op.execute(f"""
        DO $$ BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{name}') THEN
                CREATE ROLE {name} {attributes};
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$""")


def upgrade() -> None:
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    for schema in SCHEMAS:
        op.execute(f"CREATE SCHEMA {schema}")
    op.execute(TABLES)
    op.execute(FUNCTIONS)
    op.execute(VIEWS)

    _create_role("twin_pipeline", "NOLOGIN")
    _create_role("twin_api", "LOGIN")
    _create_role("twin_people", "NOLOGIN")
    op.execute("""
        DO $$ BEGIN
            -- 'usage', not 'member': who makes a role without being superuser is its member but inherits nothing,
            -- and a policy holds for those who inherit.
            IF NOT pg_has_role(current_user, 'twin_pipeline', 'usage') THEN
                EXECUTE format('GRANT twin_pipeline TO %I', current_user)
                    || CASE WHEN current_setting('server_version_num')::int >= 160000 THEN ' WITH INHERIT TRUE' ELSE '' END;
            END IF;
        END $$""")
    op.execute("GRANT USAGE ON SCHEMA warehouse, features, serving TO twin_pipeline, twin_api, twin_people")
    op.execute("GRANT USAGE ON SCHEMA analytics TO twin_pipeline, twin_api, twin_people")
    op.execute("GRANT SELECT ON ALL TABLES IN SCHEMA analytics TO twin_pipeline, twin_api, twin_people")
    op.execute("GRANT SELECT ON features.embedding_models TO twin_pipeline, twin_api, twin_people")
    op.execute("GRANT EXECUTE ON FUNCTION serving.author_of_key(text) TO twin_api")
    op.execute("GRANT SELECT ON alembic_version TO twin_api")  # its /readyz says whether the schema is the code's
    op.execute("GRANT EXECUTE ON FUNCTION serving.author_of_session_user() TO twin_people")
    op.execute("GRANT EXECUTE ON FUNCTION serving.author_in_session() TO twin_api")
    op.execute(CLOSED_FUNCTIONS)

    for table, column in AUTHORED.items():
        name = table.replace(".", "_")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY {name}_pipeline ON {table} TO twin_pipeline USING (true) WITH CHECK (true)")
        op.execute(
            f"CREATE POLICY {name}_api ON {table} TO twin_api "
            f"USING ({column} = serving.author_in_session()) WITH CHECK ({column} = serving.author_in_session())"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO twin_pipeline")
        if table != "serving.sql_roles":
            op.execute(f"GRANT SELECT ON {table} TO twin_api")
        if table in API_WRITES:
            op.execute(f"GRANT INSERT, UPDATE ON {table} TO twin_api")
        if table not in HIDDEN_FROM_PEOPLE:
            op.execute(
                f"CREATE POLICY {name}_people ON {table} FOR SELECT TO twin_people "
                f"USING ({column} = (SELECT serving.author_of_session_user()))"
            )
            op.execute(f"GRANT SELECT ON {table} TO twin_people")


def downgrade() -> None:
    # Roles stay: another database of the same server may use them.
    for schema in reversed(SCHEMAS):
        op.execute(f"DROP SCHEMA {schema} CASCADE")

"""Datasets: examples, immutable versions of them, what each version came from and dropped, kept model answers.

An example is a row of its own, found by the hash of its content, and a version is a membership over such rows: two
versions that share most of their examples store them once. Documents and drops are rows too and not part of the
manifest, because forgetting must reach every place that names a document.
"""

from alembic import op

revision = "0004"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE training.examples (
    id text PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    document_id uuid NOT NULL REFERENCES warehouse.documents ON DELETE CASCADE,
    revision_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('instruct', 'preference')),
    category text NOT NULL CHECK (category IN ('article', 'post', 'code')),
    origin text NOT NULL CHECK (origin IN ('llm', 'rule', 'model', 'edit', 'rejection')),
    input_hash text NOT NULL,
    prompt jsonb NOT NULL,
    answer text NOT NULL CHECK (answer <> ''),
    rejected text CHECK (rejected <> ''),
    language text NOT NULL,
    words integer NOT NULL,
    start_at integer NOT NULL CHECK (start_at >= 0),
    end_at integer NOT NULL CHECK (end_at >= start_at),
    context_document_ids uuid[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK ((kind = 'preference') = (rejected IS NOT NULL))
);
CREATE INDEX examples_by_input ON training.examples (author_id, input_hash);
CREATE INDEX examples_by_document ON training.examples (document_id);
CREATE INDEX examples_by_context ON training.examples USING gin (context_document_ids);

CREATE TABLE training.dataset_versions (
    id text PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('instruct', 'preference')),
    input_hash text NOT NULL,
    examples integer NOT NULL CHECK (examples > 0),
    manifest jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz NOT NULL DEFAULT now(),
    tainted_at timestamptz
);
CREATE INDEX dataset_versions_by_author ON training.dataset_versions (author_id, kind, published_at DESC);

CREATE TABLE training.dataset_examples (
    version_id text NOT NULL REFERENCES training.dataset_versions ON DELETE CASCADE,
    example_id text NOT NULL REFERENCES training.examples ON DELETE CASCADE,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    split text NOT NULL CHECK (split IN ('train', 'test')),
    rank integer NOT NULL CHECK (rank >= 0),
    PRIMARY KEY (version_id, example_id)
);
CREATE INDEX dataset_examples_by_example ON training.dataset_examples (example_id);

CREATE TABLE training.dataset_documents (
    version_id text NOT NULL REFERENCES training.dataset_versions ON DELETE CASCADE,
    document_id uuid NOT NULL REFERENCES warehouse.documents ON DELETE CASCADE,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    revision_id uuid NOT NULL,
    split text NOT NULL CHECK (split IN ('train', 'test')),
    passages integer NOT NULL,
    PRIMARY KEY (version_id, document_id)
);
CREATE INDEX dataset_documents_by_document ON training.dataset_documents (document_id);

CREATE TABLE training.dataset_drops (
    version_id text NOT NULL REFERENCES training.dataset_versions ON DELETE CASCADE,
    document_id uuid NOT NULL REFERENCES warehouse.documents ON DELETE CASCADE,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    category text NOT NULL CHECK (category IN ('article', 'post', 'code')),
    reason text NOT NULL,
    passages integer NOT NULL CHECK (passages > 0),
    PRIMARY KEY (version_id, document_id, reason)
);
CREATE INDEX dataset_drops_by_document ON training.dataset_drops (document_id);

CREATE TABLE training.llm_answers (
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    document_id uuid NOT NULL REFERENCES warehouse.documents ON DELETE CASCADE,
    key text NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('instruction', 'rejected')),
    model text NOT NULL,
    prompt_version text NOT NULL,
    answer text,
    reason text,
    context_document_ids uuid[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (document_id, key),
    CHECK ((answer IS NULL) = (reason IS NOT NULL))
);
CREATE INDEX llm_answers_by_author ON training.llm_answers (author_id, purpose);
CREATE INDEX llm_answers_by_context ON training.llm_answers USING gin (context_document_ids);
"""

NAMES = ("examples", "dataset_versions", "dataset_examples", "dataset_documents", "dataset_drops", "llm_answers")


def upgrade() -> None:
    op.execute("CREATE SCHEMA training")
    op.execute(TABLES)
    op.execute("GRANT USAGE ON SCHEMA training TO twin_pipeline, twin_api, twin_people")
    for name in NAMES:
        table, prefix = f"training.{name}", f"training_{name}"
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY {prefix}_pipeline ON {table} TO twin_pipeline USING (true) WITH CHECK (true)")
        op.execute(
            f"CREATE POLICY {prefix}_api ON {table} TO twin_api "
            f"USING (author_id = serving.author_in_session()) WITH CHECK (author_id = serving.author_in_session())"
        )
        op.execute(
            f"CREATE POLICY {prefix}_people ON {table} FOR SELECT TO twin_people "
            f"USING (author_id = (SELECT serving.author_of_session_user()))"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO twin_pipeline")
        op.execute(f"GRANT SELECT ON {table} TO twin_api, twin_people")


def downgrade() -> None:
    op.execute("DROP SCHEMA training CASCADE")

"""Attempts at training, the adapters that came out of them, and each author's best settings.

An adapter is numbered per author and belongs to exactly one attempt, which must be running when it is registered: a process that
everybody gave up, and that runs on somewhere, cannot put anything into the registry. Whether an adapter is tainted is no column: it
follows from its dataset version and from the adapter it goes on from, so forgetting cannot miss one.
"""

from alembic import op

revision = "0008"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE training.attempts (
    id uuid PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    kind text NOT NULL CHECK (kind IN ('sft', 'dpo')),
    job_hash text NOT NULL,
    version_id text NOT NULL REFERENCES training.dataset_versions,
    job jsonb NOT NULL,
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'failed', 'abandoned')),
    host text NOT NULL,
    pid integer NOT NULL,
    progress jsonb NOT NULL DEFAULT '{}',
    reason text,
    adapter_id text,
    started_at timestamptz NOT NULL DEFAULT now(),
    heartbeat_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CHECK ((state = 'running') = (finished_at IS NULL))
);
CREATE UNIQUE INDEX one_attempt_at_a_time ON training.attempts (author_id) WHERE state = 'running';
CREATE INDEX attempts_by_author ON training.attempts (author_id, started_at DESC);

CREATE TABLE training.adapters (
    id text PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    version integer NOT NULL CHECK (version > 0),
    kind text NOT NULL CHECK (kind IN ('sft', 'dpo')),
    base_model text NOT NULL,
    base_hash text NOT NULL,
    version_id text NOT NULL REFERENCES training.dataset_versions,
    fraction double precision NOT NULL DEFAULT 1 CHECK (fraction > 0 AND fraction <= 1),
    parent_id text REFERENCES training.adapters,
    attempt_id uuid NOT NULL UNIQUE REFERENCES training.attempts,
    file_key text NOT NULL,
    config jsonb NOT NULL,
    metrics jsonb NOT NULL,
    code_revision text NOT NULL,
    mlflow_run_id text,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (author_id, version),
    CHECK ((kind = 'dpo') = (parent_id IS NOT NULL))
);
CREATE INDEX adapters_by_version ON training.adapters (version_id);

CREATE TABLE training.author_defaults (
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    profile text NOT NULL,
    changes jsonb NOT NULL,
    score double precision NOT NULL,
    trials integer NOT NULL,
    version_id text NOT NULL,
    found_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (author_id, profile)
);
"""

VIEWS = """
CREATE VIEW analytics.adapters WITH (security_invoker = true) AS
    WITH RECURSIVE line AS (
        SELECT a.id, a.id AS ancestor, a.parent_id, a.version_id FROM training.adapters a
        UNION ALL
        SELECT l.id, p.id, p.parent_id, p.version_id FROM line l JOIN training.adapters p ON p.id = l.parent_id
    )
    SELECT a.author_id, a.id AS adapter_id, a.version, a.kind, a.base_model, a.version_id AS dataset_version, a.fraction,
           p.version AS parent_version, (a.metrics ->> 'loss')::double precision AS loss,
           (a.metrics ->> 'held_out_loss')::double precision AS held_out_loss,
           (a.metrics ->> 'tokens')::bigint AS tokens, (a.metrics ->> 'seconds')::double precision AS seconds,
           (SELECT min(v.tainted_at) FROM line l JOIN training.dataset_versions v ON v.id = l.version_id WHERE l.id = a.id)
               AS tainted_at, a.created_at
    FROM training.adapters a
    LEFT JOIN training.adapters p ON p.id = a.parent_id;

CREATE VIEW analytics.adapter_documents WITH (security_invoker = true) AS
    WITH RECURSIVE line AS (
        SELECT a.id, a.parent_id, a.version_id, a.fraction FROM training.adapters a
        UNION ALL
        SELECT l.id, p.parent_id, p.version_id, p.fraction FROM line l JOIN training.adapters p ON p.id = l.parent_id
    ), seen AS (
        SELECT l.id, e.document_id, e.context_document_ids
        FROM line l
        JOIN training.dataset_examples m ON m.version_id = l.version_id AND m.split = 'train'
        JOIN training.examples e ON e.id = m.example_id
        WHERE m.rank < ceil(l.fraction * (SELECT max(n.rank) + 1 FROM training.dataset_examples n
                                           WHERE n.version_id = l.version_id AND n.split = 'train'))
    ), roles AS (
        SELECT id, document_id, true AS answered FROM seen
        UNION ALL
        SELECT id, quoted, false FROM seen CROSS JOIN unnest(context_document_ids) AS quoted
    )
    SELECT a.author_id, a.id AS adapter_id, a.version, a.kind, r.document_id, c.title, c.location,
           count(*) FILTER (WHERE r.answered) AS examples, count(*) FILTER (WHERE NOT r.answered) AS quotations
    FROM roles r
    JOIN training.adapters a ON a.id = r.id
    JOIN warehouse.documents d ON d.id = r.document_id
    LEFT JOIN features.cleaned_documents c ON c.revision_id = d.head_revision_id
    GROUP BY a.author_id, a.id, a.version, a.kind, r.document_id, c.title, c.location;
"""

NAMES = ("attempts", "adapters", "author_defaults")


def upgrade() -> None:
    op.execute(TABLES)
    op.execute(VIEWS)
    op.execute(
        "GRANT SELECT ON analytics.adapters, analytics.adapter_documents TO twin_pipeline, twin_api, twin_people"
    )
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
    op.execute("DROP VIEW analytics.adapter_documents, analytics.adapters")
    op.execute("DROP TABLE training.author_defaults, training.adapters, training.attempts")

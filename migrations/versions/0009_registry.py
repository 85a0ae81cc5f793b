"""What was measured of adapters, what persons decided, and what serves.

Evaluations hold figures and no text; their reports are files. An approval is the record of a decision and the request to
act on it in one row. Of a deployment's states one is unique per author: `serving`, which is the truth of what answers.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE training.evaluations (
    id uuid PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    adapter_id text NOT NULL REFERENCES training.adapters ON DELETE CASCADE,
    version_id text NOT NULL REFERENCES training.dataset_versions,
    split_id text NOT NULL,
    documents integer NOT NULL CHECK (documents > 0),
    champion_id text REFERENCES training.adapters ON DELETE CASCADE,
    against jsonb NOT NULL,
    figures jsonb NOT NULL,
    report_key text,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX evaluations_by_adapter ON training.evaluations (adapter_id, at DESC);
CREATE INDEX evaluations_by_author ON training.evaluations (author_id, at DESC);

CREATE TABLE training.approvals (
    id uuid PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    adapter_id text NOT NULL REFERENCES training.adapters ON DELETE CASCADE,
    verdict text NOT NULL CHECK (verdict IN ('approve', 'reject')),
    by text NOT NULL CHECK (by <> ''),
    reason text CHECK (reason <> ''),
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    state text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'done', 'refused')),
    attempts integer NOT NULL DEFAULT 0,
    decision jsonb,
    problem text,
    finished_at timestamptz,
    CHECK ((state = 'requested') = (finished_at IS NULL)),
    CHECK (verdict = 'approve' OR reason IS NOT NULL)
);
CREATE INDEX approvals_by_adapter ON training.approvals (adapter_id, at DESC);
CREATE INDEX approvals_open ON training.approvals (author_id) WHERE state = 'requested';

CREATE TABLE serving.deployments (
    id uuid PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    adapter_id text NOT NULL REFERENCES training.adapters ON DELETE CASCADE,
    engine text NOT NULL CHECK (engine IN ('transformers', 'tgi', 'vllm')),
    served_name text NOT NULL,
    url text,
    state text NOT NULL DEFAULT 'starting'
        CHECK (state IN ('starting', 'serving', 'previous', 'withdrawn', 'failed', 'stopped')),
    approval_id uuid REFERENCES training.approvals ON DELETE SET NULL,
    previous_id uuid REFERENCES serving.deployments ON DELETE SET NULL,
    reason text,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX one_serves ON serving.deployments (author_id) WHERE state = 'serving';
CREATE UNIQUE INDEX one_previous ON serving.deployments (author_id) WHERE state = 'previous';
CREATE INDEX deployments_by_author ON serving.deployments (author_id, at DESC);
"""

# Table -> what the API may do with the rows of its author, beside reading.
NEW_TABLES = {
    "training.evaluations": (),
    "training.approvals": ("INSERT (id, author_id, adapter_id, verdict, by, reason)",),
    # Going back is one statement on rows that are there, and must not wait for anybody.
    "serving.deployments": ("UPDATE (state, since, reason)",),
}

VIEWS = {
    "evaluations": """
        SELECT e.author_id, e.id AS evaluation_id, a.version, e.adapter_id, e.version_id AS dataset_version, e.split_id,
               e.documents, e.at, rival.key AS rival, axis.key AS axis, (axis.value ->> 'mean')::double precision AS difference,
               (axis.value ->> 'low')::double precision AS low, (axis.value ->> 'high')::double precision AS high,
               row_number() OVER (PARTITION BY e.adapter_id, rival.key, axis.key ORDER BY e.at DESC, e.id) = 1 AS is_latest
        FROM training.evaluations e
        JOIN training.adapters a ON a.id = e.adapter_id
        CROSS JOIN LATERAL jsonb_each(e.against) AS rival
        CROSS JOIN LATERAL jsonb_each(rival.value) AS axis
    """,
    "adapter_lineage": """
        SELECT a.author_id, a.id AS adapter_id, a.version, a.kind, p.version AS parent_version, a.version_id AS dataset_version,
               t.tainted_at, e.at AS evaluated_at, v.verdict, v.by, v.reason, v.at AS decided_at, v.state AS decision_state,
               d.state AS deployment, d.served_name, d.since
        FROM training.adapters a
        LEFT JOIN training.adapters p ON p.id = a.parent_id
        JOIN analytics.adapters t ON t.adapter_id = a.id
        LEFT JOIN LATERAL (SELECT max(at) AS at FROM training.evaluations WHERE adapter_id = a.id) e ON true
        LEFT JOIN LATERAL (SELECT * FROM training.approvals WHERE adapter_id = a.id ORDER BY at DESC, id LIMIT 1) v ON true
        LEFT JOIN LATERAL (SELECT * FROM serving.deployments WHERE adapter_id = a.id ORDER BY at DESC, id LIMIT 1) d ON true
    """,
}


def upgrade() -> None:
    op.execute(TABLES)
    for table, rights in NEW_TABLES.items():
        prefix = table.replace(".", "_")
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
        for right in rights:
            op.execute(f"GRANT {right} ON {table} TO twin_api")
    for name, query in VIEWS.items():
        op.execute(f"CREATE VIEW analytics.{name} WITH (security_invoker = true) AS {query}")
        op.execute(f"GRANT SELECT ON analytics.{name} TO twin_pipeline, twin_api, twin_people")


def downgrade() -> None:
    for name in reversed(VIEWS):
        op.execute(f"DROP VIEW analytics.{name}")
    op.execute("DROP TABLE serving.deployments, training.approvals, training.evaluations")

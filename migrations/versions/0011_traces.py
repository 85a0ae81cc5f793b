"""Traces say how an answer came about: how it was searched, what was found, which adapter answered, what it cost.

Candidates are everything that the search returned, with ranks and scores and without a word of text; the passages that
were put into the prompt are in `trace_passages` as before. `texts` says whether the texts of a trace are there as they
were, redacted, or not at all. `mlflow_id` and `exported_at` are where the copy in MLflow stands, where one is made.
"""

from alembic import op

revision = "0011"
down_revision = "0013"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE serving.traces
    ADD COLUMN retrieval text NOT NULL DEFAULT 'fast' CHECK (retrieval IN ('off', 'fast', 'full')),
    ADD COLUMN queries text[] NOT NULL DEFAULT '{}',
    ADD COLUMN filters jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN engine text,
    ADD COLUMN deployment_id uuid REFERENCES serving.deployments ON DELETE SET NULL,
    ADD COLUMN cost double precision CHECK (cost >= 0),
    ADD COLUMN texts text NOT NULL DEFAULT 'whole' CHECK (texts IN ('whole', 'redacted', 'dropped')),
    ADD COLUMN mlflow_id text;
ALTER TABLE serving.feedback ADD COLUMN exported_at timestamptz;

CREATE TABLE serving.trace_candidates (
    trace_id uuid NOT NULL REFERENCES serving.traces ON DELETE CASCADE,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    rank integer NOT NULL CHECK (rank > 0),
    chunk_id uuid NOT NULL,
    document_id uuid NOT NULL,
    score double precision NOT NULL,
    legs jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (trace_id, rank)
);
CREATE INDEX trace_candidates_by_document ON serving.trace_candidates (document_id);
"""

VIEW = """
    SELECT t.author_id, t.id AS trace_id, t.at, t.kind, t.parent_id, t.question, t.instruction, t.answer, t.texts, t.outcome,
           t.error, t.prompt_version, t.model, t.engine, a.id AS adapter_id, a.version AS adapter_version,
           a.version_id AS dataset_version, t.retrieval, t.queries, t.filters, t.timings,
           (t.timings ->> 'total')::double precision AS seconds,
           (t.timings ->> 'first_token')::double precision AS first_token_seconds,
           (t.usage ->> 'prompt_tokens')::bigint AS prompt_tokens,
           (t.usage ->> 'completion_tokens')::bigint AS completion_tokens, t.cost,
           f.verdict, f.edited, f.at AS feedback_at
    FROM serving.traces t
    LEFT JOIN serving.deployments d ON d.id = t.deployment_id
    LEFT JOIN training.adapters a ON a.id = d.adapter_id
    LEFT JOIN LATERAL (SELECT o.verdict, o.edited, o.at FROM serving.feedback o WHERE o.trace_id = t.id
                       ORDER BY o.at DESC, o.id LIMIT 1) f ON true
"""

TABLE, PREFIX = "serving.trace_candidates", "serving_trace_candidates"


def upgrade() -> None:
    op.execute(COLUMNS)
    op.execute(f"ALTER TABLE {TABLE} ENABLE ROW LEVEL SECURITY")
    op.execute(f"ALTER TABLE {TABLE} FORCE ROW LEVEL SECURITY")
    op.execute(f"CREATE POLICY {PREFIX}_pipeline ON {TABLE} TO twin_pipeline USING (true) WITH CHECK (true)")
    op.execute(
        f"CREATE POLICY {PREFIX}_api ON {TABLE} TO twin_api "
        f"USING (author_id = serving.author_in_session()) WITH CHECK (author_id = serving.author_in_session())"
    )
    op.execute(
        f"CREATE POLICY {PREFIX}_people ON {TABLE} FOR SELECT TO twin_people "
        f"USING (author_id = (SELECT serving.author_of_session_user()))"
    )
    op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {TABLE} TO twin_pipeline")
    op.execute(f"GRANT SELECT, INSERT ON {TABLE} TO twin_api")
    op.execute(f"GRANT SELECT ON {TABLE} TO twin_people")
    op.execute(f"CREATE VIEW analytics.answers WITH (security_invoker = true) AS {VIEW}")
    op.execute("GRANT SELECT ON analytics.answers TO twin_pipeline, twin_api, twin_people")


def downgrade() -> None:
    op.execute("DROP VIEW analytics.answers")
    op.execute("DROP TABLE serving.trace_candidates")
    op.execute("ALTER TABLE serving.feedback DROP COLUMN exported_at")
    op.execute("""
        ALTER TABLE serving.traces DROP COLUMN retrieval, DROP COLUMN queries, DROP COLUMN filters, DROP COLUMN engine,
            DROP COLUMN deployment_id, DROP COLUMN cost, DROP COLUMN texts, DROP COLUMN mlflow_id
    """)

"""People's SQL sees which answers were given again; what waits for a copy in MLflow is found without reading every trace."""

from alembic import op

revision = "0017"
down_revision = "0015"
branch_labels = None
depends_on = None

BEFORE = """
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

AFTER = BEFORE.replace("f.at AS feedback_at", "f.at AS feedback_at, t.cached_from")


def upgrade() -> None:
    op.execute(f"CREATE OR REPLACE VIEW analytics.answers WITH (security_invoker = true) AS {AFTER}")
    op.execute("CREATE INDEX traces_without_copy ON serving.traces (author_id, at) WHERE mlflow_id IS NULL")


def downgrade() -> None:
    op.execute("DROP INDEX serving.traces_without_copy")
    op.execute("DROP VIEW analytics.answers")
    op.execute(f"CREATE VIEW analytics.answers WITH (security_invoker = true) AS {BEFORE}")
    op.execute("GRANT SELECT ON analytics.answers TO twin_pipeline, twin_api, twin_people")

"""Answers that may be given again: a key over everything that they depend on, and the trace that holds the answer.

The cache has no text of its own. It goes with the trace: when a document is forgotten that it rests on, when it grows
old, when its author goes. What was answered from it says which answer it repeats.
"""

from alembic import op

revision = "0014"
down_revision = "0012"
branch_labels = None
depends_on = None

TABLE, PREFIX = "serving.cached_answers", "serving_cached_answers"


def upgrade() -> None:
    op.execute(f"""
        CREATE TABLE {TABLE} (
            author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
            key text NOT NULL,
            trace_id uuid NOT NULL REFERENCES serving.traces ON DELETE CASCADE,
            at timestamptz NOT NULL DEFAULT clock_timestamp(),
            PRIMARY KEY (author_id, key)
        )
    """)
    op.execute(f"CREATE INDEX cached_answers_by_trace ON {TABLE} (trace_id)")
    op.execute("""
        ALTER TABLE serving.traces ADD COLUMN cached_from uuid REFERENCES serving.traces ON DELETE SET NULL
    """)
    op.execute("CREATE INDEX traces_by_cached ON serving.traces (cached_from) WHERE cached_from IS NOT NULL")
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
    op.execute(f"GRANT SELECT, INSERT, UPDATE (trace_id, at) ON {TABLE} TO twin_api")
    op.execute(f"GRANT SELECT ON {TABLE} TO twin_people")


def downgrade() -> None:
    op.execute("ALTER TABLE serving.traces DROP COLUMN cached_from")
    op.execute(f"DROP TABLE {TABLE}")

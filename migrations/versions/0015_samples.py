"""What people compare without knowing which is which: samples of an evaluation, and their votes.

The samples themselves are a file, because they hold text; here is where it is. A vote is a word and no text. It speaks of
held-out prompts, so it stands beside the evaluation's figures and never becomes a preference that something is trained on.
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE training.samples (
    evaluation_id uuid PRIMARY KEY REFERENCES training.evaluations ON DELETE CASCADE,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    other text NOT NULL CHECK (other IN ('champion', 'base')),
    count integer NOT NULL CHECK (count > 0),
    file_key text NOT NULL
);

CREATE TABLE training.sample_votes (
    evaluation_id uuid NOT NULL REFERENCES training.samples ON DELETE CASCADE,
    sample integer NOT NULL CHECK (sample > 0),
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    better text NOT NULL CHECK (better IN ('challenger', 'other', 'neither')),
    key_id uuid,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (evaluation_id, sample)
);
"""

# Table -> what the API may do with the rows of its author, beside reading.
NEW_TABLES = {
    "training.samples": (),
    "training.sample_votes": (
        "INSERT (evaluation_id, sample, author_id, better, key_id)",
        "UPDATE (better, key_id, at)",
    ),
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


def downgrade() -> None:
    op.execute("DROP TABLE training.sample_votes, training.samples")

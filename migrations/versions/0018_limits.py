"""What a key has asked and used: responses kept to be replayed, and tokens by the minute.

A kept response may hold passages, so forgetting a document takes its author's kept responses; people's SQL sees none. What the
API may change of a source is narrowed to when it is collected: a place is added once and then stays as it is.
"""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE serving.kept_responses (
    key_id uuid NOT NULL REFERENCES serving.api_keys ON DELETE CASCADE,
    key text NOT NULL,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    fingerprint text NOT NULL,
    status integer,
    headers jsonb NOT NULL DEFAULT '{}',
    body bytea,
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (key_id, key),
    CHECK ((status IS NULL) = (body IS NULL))
);
CREATE INDEX kept_responses_by_author ON serving.kept_responses (author_id, expires_at);

CREATE TABLE serving.token_use (
    key_id uuid NOT NULL REFERENCES serving.api_keys ON DELETE CASCADE,
    minute timestamptz NOT NULL,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    tokens bigint NOT NULL CHECK (tokens >= 0),
    PRIMARY KEY (key_id, minute)
);
CREATE INDEX token_use_by_author ON serving.token_use (author_id, minute);
"""

# Table -> what the API may do, and whether people's SQL reads it.
RIGHTS = {
    "serving.kept_responses": ("SELECT, INSERT, UPDATE, DELETE", False),
    "serving.token_use": ("SELECT, INSERT, UPDATE, DELETE", True),
}
NARROWED = "options, consent_claimed_by, consent_proof, consent_at"


def upgrade() -> None:
    op.execute(TABLES)
    for table, (rights, shown) in RIGHTS.items():
        name = table.replace(".", "_")
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY {name}_pipeline ON {table} TO twin_pipeline USING (true) WITH CHECK (true)")
        op.execute(
            f"CREATE POLICY {name}_api ON {table} TO twin_api "
            f"USING (author_id = serving.author_in_session()) WITH CHECK (author_id = serving.author_in_session())"
        )
        op.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO twin_pipeline")
        op.execute(f"GRANT {rights} ON {table} TO twin_api")
        if shown:
            op.execute(
                f"CREATE POLICY {name}_people ON {table} FOR SELECT TO twin_people "
                f"USING (author_id = (SELECT serving.author_of_session_user()))"
            )
            op.execute(f"GRANT SELECT ON {table} TO twin_people")
    op.execute(f"REVOKE UPDATE ({NARROWED}) ON warehouse.sources FROM twin_api")


def downgrade() -> None:
    op.execute(f"GRANT UPDATE ({NARROWED}) ON warehouse.sources TO twin_api")
    op.execute("DROP TABLE serving.token_use, serving.kept_responses")

"""People who signed in at the page: sessions of keys.

A session stands for its key: it goes when the key does, and opens nothing that the key does not open now. As with keys,
the lookup comes before the author is known and is one function; only the SHA-256 of the cookie is stored.
"""

from alembic import op

revision = "0013"
down_revision = "0010"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE serving.sessions (
    id_hash text PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    key_id uuid NOT NULL REFERENCES serving.api_keys ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_by_author ON serving.sessions (author_id, expires_at);

CREATE FUNCTION serving.author_of_session(hash text)
    RETURNS TABLE (key_id uuid, author_id uuid, slug text, scopes text[]) LANGUAGE sql STABLE SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT k.id, k.author_id, a.slug, k.scopes
        FROM serving.sessions s
        JOIN serving.api_keys k ON k.id = s.key_id AND k.author_id = s.author_id
        JOIN warehouse.authors a ON a.id = k.author_id
        WHERE s.id_hash = hash AND s.expires_at > now()
          AND k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
    $$;
REVOKE ALL ON FUNCTION serving.author_of_session(text) FROM PUBLIC;
"""


def upgrade() -> None:
    op.execute(TABLE)
    op.execute("ALTER TABLE serving.sessions ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE serving.sessions FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY serving_sessions_pipeline ON serving.sessions TO twin_pipeline USING (true) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY serving_sessions_api ON serving.sessions TO twin_api "
        "USING (author_id = serving.author_in_session()) WITH CHECK (author_id = serving.author_in_session())"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON serving.sessions TO twin_pipeline")
    op.execute("GRANT SELECT, INSERT, DELETE ON serving.sessions TO twin_api")
    op.execute("GRANT EXECUTE ON FUNCTION serving.author_of_session(text) TO twin_api")


def downgrade() -> None:
    op.execute("DROP FUNCTION serving.author_of_session(text)")
    op.execute("DROP TABLE serving.sessions")

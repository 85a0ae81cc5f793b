"""Exports that were uploaded through the API and wait to be imported, and what the API may change besides.

The file itself lies under HOME, not here. What becomes of an upload is written by the run that imports it; the API only
asks, so it may insert and read. A person may rename their author, and add a source that is fetched over the network.
"""

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

TABLE = """
CREATE TABLE warehouse.import_requests (
    id uuid PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    name text NOT NULL CHECK (name <> ''),
    bytes bigint NOT NULL CHECK (bytes >= 0),
    sha256 text NOT NULL,
    own text[] NOT NULL DEFAULT '{}',
    mine boolean NOT NULL DEFAULT false,
    claimed_by text NOT NULL CHECK (claimed_by <> ''),
    state text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'collecting', 'done', 'refused')),
    attempts integer NOT NULL DEFAULT 0,
    source_ids uuid[] NOT NULL DEFAULT '{}',
    collect_ids uuid[] NOT NULL DEFAULT '{}',
    problem text,
    requested_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    CHECK ((state = 'refused') = (problem IS NOT NULL)),
    CHECK ((state IN ('done', 'refused')) = (finished_at IS NOT NULL))
);
CREATE INDEX import_requests_by_author ON warehouse.import_requests (author_id, requested_at DESC, id);
CREATE INDEX import_requests_open ON warehouse.import_requests (author_id) WHERE finished_at IS NULL;
CREATE INDEX collect_requests_by_author ON warehouse.collect_requests (author_id, requested_at DESC, id);
"""

# Table -> what the API may do besides, column by column.
RIGHTS = {
    "warehouse.import_requests": "SELECT, INSERT (id, author_id, name, bytes, sha256, own, mine, claimed_by)",
    "warehouse.authors": "UPDATE (name, language)",
    "warehouse.sources": (
        "INSERT (id, author_id, platform, locator, schedule, options, consent_claimed_by, consent_proof, consent_at, "
        "next_run_at)"
    ),
}


def upgrade() -> None:
    op.execute(TABLE)
    op.execute("ALTER TABLE warehouse.import_requests ENABLE ROW LEVEL SECURITY")
    op.execute("ALTER TABLE warehouse.import_requests FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE POLICY warehouse_import_requests_pipeline ON warehouse.import_requests TO twin_pipeline "
        "USING (true) WITH CHECK (true)"
    )
    op.execute(
        "CREATE POLICY warehouse_import_requests_api ON warehouse.import_requests TO twin_api "
        "USING (author_id = serving.author_in_session()) WITH CHECK (author_id = serving.author_in_session())"
    )
    op.execute(
        "CREATE POLICY warehouse_import_requests_people ON warehouse.import_requests FOR SELECT TO twin_people "
        "USING (author_id = (SELECT serving.author_of_session_user()))"
    )
    op.execute("GRANT SELECT, INSERT, UPDATE, DELETE ON warehouse.import_requests TO twin_pipeline")
    op.execute("GRANT SELECT ON warehouse.import_requests TO twin_people")
    for table, rights in RIGHTS.items():
        op.execute(f"GRANT {rights} ON {table} TO twin_api")


def downgrade() -> None:
    for table, rights in RIGHTS.items():
        op.execute(f"REVOKE {rights} ON {table} FROM twin_api")
    op.execute("DROP INDEX warehouse.collect_requests_by_author")
    op.execute("DROP TABLE warehouse.import_requests")

"""Locations meet: by what each is known, why it belongs to its document, which one leads. Forgetting whole sources.

`joined_by` and `leads` are decisions, written down with their grounds so that a person can see and overrule them. What
was joined before they were recorded is marked as what the older rules allowed: minted, the same text, or by hand.
"""

from alembic import op

revision = "0006"
down_revision = "0004"
branch_labels = None
depends_on = None

COLUMNS = """
ALTER TABLE warehouse.document_locations
    ADD COLUMN canonical_url text,
    ADD COLUMN address text,
    ADD COLUMN platform_id text,
    ADD COLUMN words integer,
    ADD COLUMN signature bytea,
    ADD COLUMN bands bigint[],
    ADD COLUMN changed_at timestamptz,
    ADD COLUMN joined_by text NOT NULL DEFAULT 'minted' CHECK (joined_by IN
        ('minted', 'canonical_url', 'platform_id', 'same_text', 'near_duplicate', 'by_hand')),
    ADD COLUMN evidence text,
    ADD COLUMN leads text CHECK (leads IN ('only', 'first', 'fullest', 'newest'));
CREATE INDEX locations_by_canonical_url ON warehouse.document_locations (author_id, canonical_url)
    WHERE canonical_url IS NOT NULL;
CREATE INDEX locations_by_address ON warehouse.document_locations (author_id, address) WHERE address IS NOT NULL;
CREATE INDEX locations_by_platform_id ON warehouse.document_locations (author_id, platform_id)
    WHERE platform_id IS NOT NULL;
CREATE INDEX locations_by_band ON warehouse.document_locations USING gin (bands);

UPDATE warehouse.document_locations l SET
    joined_by = CASE
        WHEN r.document_id <> l.document_id THEN 'by_hand'
        WHEN EXISTS (SELECT FROM warehouse.document_locations o WHERE o.document_id = l.document_id
                     AND (o.first_seen_at, o.source_id, o.native_id) < (l.first_seen_at, l.source_id, l.native_id))
            THEN 'same_text'
        ELSE 'minted' END,
    leads = CASE
        WHEN l.state = 'live' AND NOT EXISTS
             (SELECT FROM warehouse.document_locations o WHERE o.document_id = l.document_id AND o.state = 'live'
              AND (o.first_seen_at, o.source_id, o.native_id) < (l.first_seen_at, l.source_id, l.native_id))
            THEN 'first' END
    FROM warehouse.revisions r WHERE r.id = l.revision_id;

ALTER TABLE warehouse.tombstones DROP CONSTRAINT tombstones_kind_check;
ALTER TABLE warehouse.tombstones ADD CONSTRAINT tombstones_kind_check
    CHECK (kind IN ('location', 'content', 'source'));

ALTER TABLE warehouse.forget_requests ADD COLUMN attempts integer NOT NULL DEFAULT 0, ADD COLUMN problem text;

CREATE TABLE warehouse.tombstone_texts (
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    hash text NOT NULL,
    bands text[] NOT NULL,
    forgotten_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (author_id, hash)
);
CREATE INDEX tombstone_texts_by_band ON warehouse.tombstone_texts USING gin (bands);

CREATE TABLE warehouse.collect_requests (
    id uuid PRIMARY KEY,
    author_id uuid NOT NULL REFERENCES warehouse.authors ON DELETE CASCADE,
    source_id uuid NOT NULL REFERENCES warehouse.sources ON DELETE CASCADE,
    state text NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'done')),
    run_id uuid,
    requested_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz
);
CREATE INDEX collect_requests_open ON warehouse.collect_requests (source_id) WHERE state = 'requested';
"""

# Table -> what the API may do with the rows of its author, and whether people's SQL reads them.
NEW_TABLES = {
    "warehouse.tombstone_texts": ("SELECT", False),
    "warehouse.collect_requests": ("SELECT, INSERT", True),
}


def upgrade() -> None:
    op.execute(COLUMNS)
    for table, (rights, shown) in NEW_TABLES.items():
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
    # What the API changes of a source is when it is collected, nothing else.
    op.execute("GRANT UPDATE (schedule, paused, next_run_at) ON warehouse.sources TO twin_api")


def downgrade() -> None:
    op.execute("REVOKE UPDATE (schedule, paused, next_run_at) ON warehouse.sources FROM twin_api")
    op.execute("DROP TABLE warehouse.collect_requests, warehouse.tombstone_texts")
    op.execute("ALTER TABLE warehouse.forget_requests DROP COLUMN attempts, DROP COLUMN problem")
    op.execute("DELETE FROM warehouse.tombstones WHERE kind = 'source'")
    op.execute("ALTER TABLE warehouse.tombstones DROP CONSTRAINT tombstones_kind_check")
    op.execute(
        "ALTER TABLE warehouse.tombstones ADD CONSTRAINT tombstones_kind_check CHECK (kind IN ('location', 'content'))"
    )
    op.execute(
        "ALTER TABLE warehouse.document_locations DROP COLUMN canonical_url, DROP COLUMN address, "
        "DROP COLUMN platform_id, DROP COLUMN words, DROP COLUMN signature, DROP COLUMN bands, "
        "DROP COLUMN changed_at, DROP COLUMN joined_by, DROP COLUMN evidence, DROP COLUMN leads"
    )

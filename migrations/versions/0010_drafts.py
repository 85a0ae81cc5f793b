"""Drafts are traces too: what kind of text was asked for, what it goes on from, and which pages of others it was given.

A draft goes on from its outline, a revision from its draft: when that is forgotten, so are they. The text of a linked
page is kept as it was quoted, inside the trace and nowhere else: no stage that learns or searches reads it there.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("""
        ALTER TABLE serving.traces
            ADD COLUMN kind text NOT NULL DEFAULT 'answer'
                CHECK (kind IN ('answer', 'outline', 'post', 'article', 'thread', 'reply', 'code')),
            ADD COLUMN parent_id uuid REFERENCES serving.traces ON DELETE CASCADE,
            ADD COLUMN instruction text,
            ADD COLUMN links jsonb NOT NULL DEFAULT '[]'
    """)
    op.execute("CREATE INDEX traces_by_parent ON serving.traces (parent_id) WHERE parent_id IS NOT NULL")


def downgrade() -> None:
    op.execute("""
        ALTER TABLE serving.traces DROP COLUMN kind, DROP COLUMN parent_id, DROP COLUMN instruction, DROP COLUMN links
    """)

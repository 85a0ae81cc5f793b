"""An evaluation says what must be known to read its figures: which models measured, what could not be measured."""

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE training.evaluations ADD COLUMN notes text[] NOT NULL DEFAULT '{}'")


def downgrade() -> None:
    op.execute("ALTER TABLE training.evaluations DROP COLUMN notes")

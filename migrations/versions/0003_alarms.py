"""The ledger notes items that came empty, so that many of them at once can raise an alarm."""

from alembic import op

revision = "0003"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE warehouse.ledger ADD COLUMN empty boolean NOT NULL DEFAULT false")
    # Items of a run that came empty and never had before; counted once, when the run ends.
    op.execute("ALTER TABLE warehouse.collect_runs ADD COLUMN empty integer NOT NULL DEFAULT 0")
    op.execute("CREATE INDEX ledger_empty ON warehouse.ledger (source_id, native_id) WHERE empty")


def downgrade() -> None:
    op.execute("DROP INDEX warehouse.ledger_empty")
    op.execute("ALTER TABLE warehouse.collect_runs DROP COLUMN empty")
    op.execute("ALTER TABLE warehouse.ledger DROP COLUMN empty")

"""Examples of a further origin: questions about what the author wrote, answered with labels."""

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def _origins(*names: str) -> None:
    op.execute("ALTER TABLE training.examples DROP CONSTRAINT examples_origin_check")
    listed = ", ".join(f"'{name}'" for name in names)
    op.execute(f"ALTER TABLE training.examples ADD CONSTRAINT examples_origin_check CHECK (origin IN ({listed}))")


def upgrade() -> None:
    _origins("llm", "rule", "question", "model", "edit", "rejection")


def downgrade() -> None:
    op.execute("DELETE FROM training.examples WHERE origin = 'question'")
    _origins("llm", "rule", "model", "edit", "rejection")

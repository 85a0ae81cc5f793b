"""Where local state lives under HOME, in absolute paths. The one place that spells these names.

Paths are made absolute here because services run with other working folders than the command that started them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from twin_core.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """The folders and files of local state. Making one of these touches nothing on disk."""

    home: Path
    postgres: Path
    """Everything of the embedded Postgres: `data`, and the socket where its path is short enough."""
    logs: Path
    secrets: Path
    run: Path
    """Locks, the supervisor's pid and its state."""
    dagster: Path
    mlflow: Path

    @property
    def data(self) -> Path:
        """Postgres's data folder."""
        return self.postgres / "data"


def folders(settings: Settings) -> Folders:
    """The folders of these settings, absolute whatever the working folder becomes later."""
    home = settings.home.expanduser().resolve()
    return Folders(
        home=home,
        postgres=home / "postgres",
        logs=home / "logs",
        secrets=home / "secrets",
        run=home / "run",
        dagster=home / "dagster",
        mlflow=home / "mlflow",
    )


def make_home(settings: Settings) -> Folders:
    """Make HOME and the folders that commands share. Secrets are for this account alone."""
    made = folders(settings)
    for folder in (made.home, made.logs, made.run):
        folder.mkdir(parents=True, exist_ok=True)
    made.secrets.mkdir(mode=0o700, exist_ok=True)
    return made

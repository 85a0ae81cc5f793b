"""`twin status`, `doctor`, `migrate`, `up` and `down` as a person runs them: real processes, real databases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from tests.conftest import free_port
from twin_cli.migrate import goes_back
from twin_core.store import migrate

ROOT = Path(__file__).parents[2]


def twin(*arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TWIN_")}
    environment |= {"PYTHONPATH": str(ROOT)} | {f"TWIN_{name.upper()}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "twin_cli.app", *arguments]
    return subprocess.run(command, env=environment, cwd="/", capture_output=True, text=True, check=False, timeout=200)


def test_status_of_a_home_that_was_never_used_says_how_to_start_and_makes_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = twin("status", home=str(home))
    assert done.returncode == 3
    assert "twin up" in done.stdout
    assert not home.exists()


def test_status_counts_what_each_author_has(database_url: str, tmp_path: Path) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO warehouse.authors (id, slug, name) VALUES (gen_random_uuid(), 'ann', 'Ann')")
    done = twin("status", "--json", database_url=database_url, home=str(tmp_path))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["database"]["revision"] == found["database"]["newest_revision"] == migrate.newest()
    assert found["database"]["authors"]["ann"]["documents"] == 0
    assert found["supervisor"] is None
    shown = twin("status", database_url=database_url, home=str(tmp_path))
    assert "ann" in shown.stdout


def test_doctor_says_for_every_line_whether_it_is_well_and_what_to_do(database_url: str, tmp_path: Path) -> None:
    good = {"database_url": database_url, "home": str(tmp_path), "llm_port": str(free_port())}
    done = twin("doctor", "--json", **good)
    findings = {finding["subject"]: finding for finding in json.loads(done.stdout)}
    assert findings["Python"]["level"] == "ok"
    assert findings["database"]["level"] == "ok"
    assert "pgvector" in findings["database"]["found"]
    assert findings["LLM server"]["level"] == "warn"
    assert all(finding["advice"] for finding in findings.values() if finding["level"] == "fail")
    assert done.returncode == (1 if any(f["level"] == "fail" for f in findings.values()) else 0)


def test_doctor_fails_for_a_database_that_is_down_and_goes_on_with_the_rest(tmp_path: Path) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/twin"
    done = twin("doctor", "--json", database_url=url, home=str(tmp_path))
    assert done.returncode == 1
    findings = {finding["subject"]: finding for finding in json.loads(done.stdout)}
    assert "TWIN_DATABASE_URL" in findings["database"]["found"]
    assert "embedding model" in findings


def test_migrate_goes_to_a_revision_and_back_only_when_told_twice(database_url: str, tmp_path: Path) -> None:
    here = {"database_url": database_url, "home": str(tmp_path)}
    assert "already" in twin("migrate", **here).stdout
    refused = twin("migrate", "--to", "base", **here)
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    done = twin("migrate", "--to", "base", "--yes", "--json", **here)
    assert json.loads(done.stdout) == {"before": migrate.newest(), "after": None, "newest": migrate.newest()}
    unknown = twin("migrate", "--to", "9999", **here)
    assert unknown.returncode == 2
    assert "9999" in unknown.stderr
    assert twin("migrate", **here).returncode == 0


@pytest.mark.parametrize(
    ("to", "before", "back"),
    [
        ("head", "0002", False),
        ("0001", "0002", True),
        ("0003", "0002", False),
        ("-1", "0002", True),
        ("+1", "0002", False),
        ("base", "0001", True),
        ("base", None, False),
    ],
)
def test_an_earlier_revision_is_a_step_back(to: str, before: str | None, back: bool) -> None:
    assert goes_back(to, before) is back


def test_up_refuses_a_service_it_does_not_know(tmp_path: Path) -> None:
    done = twin("up", "--without", "kafka", home=str(tmp_path))
    assert done.returncode == 2
    assert "mlflow" in done.stderr


def test_up_with_the_database_down_says_so_and_ends_with_3(tmp_path: Path) -> None:
    url = f"postgresql://nobody@127.0.0.1:{free_port()}/twin"
    ports = {f"{name}_port": str(free_port()) for name in ("api", "dagster", "dagster_code", "mlflow", "llm")}
    done = twin("up", database_url=url, home=str(tmp_path), **ports)
    assert done.returncode == 3
    assert "TWIN_DATABASE_URL" in done.stderr


@pytest.mark.slow
def test_up_in_the_background_shows_its_services_and_down_ends_them(database_url: str, tmp_path: Path) -> None:
    ports = {f"{name}_port": str(free_port()) for name in ("api", "dagster", "dagster_code", "mlflow", "llm")}
    here = {"database_url": database_url, "home": str(tmp_path), **ports}
    light = [word for name in ("mlflow", "code", "webserver", "daemon", "llm") for word in ("--without", name)]
    try:
        done = twin("up", "--detach", *light, **here)
        assert done.returncode == 0, done.stderr + done.stdout
        assert twin("up", *light, **here).returncode == 2
        state = json.loads(twin("status", "--json", **here).stdout)["supervisor"]
        assert state["alive"]
        assert state["services"]["mlflow"]["phase"] == "left out"
    finally:
        down = twin("down", **here)
    assert down.returncode == 0
    assert json.loads(twin("status", "--json", **here).stdout)["supervisor"] is None

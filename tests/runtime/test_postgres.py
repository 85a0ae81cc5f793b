"""The embedded Postgres with real processes: start, stop, crashes, stale files, who may come in."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from tests.conftest import free_port
from tests.runtime.conftest import MakeSettings
from twin_core.errors import InvalidInput, ServiceUnavailable
from twin_core.runtime import embedded, postgres
from twin_core.runtime.folders import folders
from twin_core.runtime.postgres import url_for
from twin_core.settings import Settings


def one(url: str, query: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def make_role(settings: Settings, name: str) -> None:
    statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(
        sql.Identifier(name), sql.Literal(postgres.role_password(settings, name))
    )
    with psycopg.connect(url_for(settings), autocommit=True) as connection:
        connection.execute(statement)


def over_tcp(settings: Settings) -> str:
    """The same server as a real one would be named: by host, port and password."""
    return f"postgresql://boss:{quote('p@ss/w:rd', safe='')}@127.0.0.1:{settings.postgres_port}/twin"


@pytest.fixture(scope="module")
def boss(embedded_server: Settings) -> Settings:
    """Settings that reach the embedded server over TCP by TWIN_DATABASE_URL, as an owner with a password."""
    with psycopg.connect(url_for(embedded_server), autocommit=True) as connection:
        connection.execute("CREATE ROLE boss SUPERUSER LOGIN PASSWORD 'p@ss/w:rd'")
    return embedded_server.model_copy(update={"database_url": SecretStr(over_tcp(embedded_server))})


def test_it_is_postgres_18_with_pgvector_and_asking_again_changes_nothing(embedded_server: Settings) -> None:
    again = postgres.ensure_running(embedded_server)
    assert again.embedded
    assert again.port == embedded_server.postgres_port
    assert str(one(again.url, "SHOW server_version")).startswith("18.")
    assert one(again.url, "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'") == 1
    assert one(again.url, "SHOW shared_buffers") == "32MB"
    assert one(again.url, "SHOW fsync") == "on"
    postgres.create_databases(embedded_server)


@pytest.mark.parametrize("database", ["twin", "dagster", "mlflow"])
def test_the_three_databases_answer_through_every_dialect(
    embedded_server: Settings, database: postgres.Database
) -> None:
    from sqlalchemy import create_engine, text

    assert one(url_for(embedded_server, database=database), "SELECT current_database()") == database
    for dialect in ("sqlalchemy", "psycopg2"):
        engine = create_engine(url_for(embedded_server, database=database, dialect=dialect))  # type: ignore[arg-type]
        with engine.connect() as connection:
            assert connection.execute(text("SELECT current_database()")).scalar() == database
        engine.dispose()


def test_a_role_needs_its_own_password_on_the_socket_and_over_tcp(embedded_server: Settings) -> None:
    make_role(embedded_server, "reader one")
    url = url_for(embedded_server, role="reader one")
    assert one(url, "SELECT current_user") == "reader one"
    password = postgres.role_password(embedded_server, "reader one")
    tcp = {"host": "127.0.0.1", "port": embedded_server.postgres_port, "dbname": "twin", "user": "reader one"}
    psycopg.connect(**tcp, password=password).close()  # type: ignore[arg-type]
    for wrong in (
        lambda: psycopg.connect(url, password="guess"),
        lambda: psycopg.connect(**tcp, password="guess"),  # type: ignore[arg-type]
        lambda: psycopg.connect(**(tcp | {"user": "postgres"})),  # type: ignore[arg-type]
    ):
        with pytest.raises(psycopg.OperationalError):
            wrong()


def test_people_s_roles_cannot_enter_the_databases_of_dagster_and_mlflow(embedded_server: Settings) -> None:
    make_role(embedded_server, "outsider")
    for database in ("dagster", "mlflow"):
        with pytest.raises(psycopg.OperationalError, match="permission denied"):
            psycopg.connect(url_for(embedded_server, database=database, role="outsider"))  # type: ignore[arg-type]


def test_text_is_folded_the_same_on_every_machine(embedded_server: Settings) -> None:
    words = "SELECT to_tsvector('french', 'ÉCOLES')::text || lower('ÉÄŁ')"
    assert one(url_for(embedded_server), words) == "'écol':1éäł"


@pytest.mark.slow
def test_four_processes_that_start_it_at_once_get_one_server(new_settings: MakeSettings) -> None:
    settings = new_settings()
    code = (
        "import sys; from pathlib import Path; from twin_core.settings import Settings;"
        "from twin_core.runtime import postgres, embedded;"
        "s = Settings(_env_file=None, home=Path(sys.argv[1]), postgres_port=int(sys.argv[2]));"
        "postgres.ensure_running(s); postgres.create_databases(s); print(embedded.running(s).pid)"
    )
    arguments = [sys.executable, "-c", code, str(settings.home), str(settings.postgres_port)]
    started = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = [process.communicate(timeout=250)[0].strip() for process in started]
    assert [process.returncode for process in started] == [0] * 4
    assert len(set(said)) == 1


def test_stop_start_and_stop_again(stopped_server: Settings) -> None:
    settings = stopped_server
    assert not postgres.is_running(settings)
    assert not postgres.stop(settings)
    postgres.ensure_running(settings)
    assert postgres.is_running(settings)
    assert postgres.stop(settings)
    assert not postgres.is_running(settings)
    assert embedded.port_is_free("127.0.0.1", settings.postgres_port)

    # A stale pid file whose pid now belongs to another living program: this test.
    stale = folders(settings).data / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n{folders(settings).data}\n1700000000\n{settings.postgres_port}\n\n\n\nready\n")
    assert not postgres.is_running(settings)
    postgres.ensure_running(settings)
    assert postgres.is_running(settings)

    # Killed without a chance to tidy up: what was committed is there after the next start.
    with psycopg.connect(url_for(settings)) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
    found = embedded.running(settings)
    assert found is not None
    family = [psutil.Process(found.pid), *psutil.Process(found.pid).children()]
    os.kill(found.pid, signal.SIGKILL)
    psutil.wait_procs(family, timeout=10)
    assert not postgres.is_running(settings)
    postgres.ensure_running(settings)
    assert one(url_for(settings), "SELECT answer FROM kept") == 42

    # Another port while it runs is refused in words, not obeyed in part.
    with pytest.raises(InvalidInput, match="TWIN_POSTGRES_PORT"):
        postgres.ensure_running(settings.model_copy(update={"postgres_port": free_port()}))


def test_it_outlives_the_process_that_started_it(stopped_server: Settings) -> None:
    settings = stopped_server
    code = (
        "import os, sys; from pathlib import Path; from twin_core.settings import Settings;"
        "from twin_core.runtime import postgres;"
        "postgres.ensure_running(Settings(_env_file=None, home=Path(sys.argv[1]), postgres_port=int(sys.argv[2])));"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(settings.home), str(settings.postgres_port)], check=False)
    time.sleep(0.2)
    assert postgres.is_running(settings)


def test_a_taken_port_names_the_setting(new_settings: MakeSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        settings = new_settings(postgres_port=other.getsockname()[1])
        with pytest.raises(InvalidInput, match="TWIN_POSTGRES_PORT") as caught:
            postgres.ensure_running(settings)
    assert caught.value.exit_code == 2


def test_a_killed_setup_leaves_nothing_half_made(new_settings: MakeSettings) -> None:
    settings = new_settings()
    half = folders(settings).postgres / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    postgres.ensure_running(settings)
    assert postgres.is_running(settings)


def test_a_database_of_another_version_is_left_alone(new_settings: MakeSettings) -> None:
    settings = new_settings()
    data = folders(settings).data
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("16\n")
    with pytest.raises(InvalidInput, match="Postgres 16"):
        postgres.ensure_running(settings)
    assert [path.name for path in data.iterdir()] == ["PG_VERSION"]


def test_a_home_with_a_long_path_gets_a_short_socket(stopped_server: Settings) -> None:
    deep = stopped_server.home / ("deep/" * 20)
    deep.mkdir(parents=True)
    settings = stopped_server.model_copy(update={"home": deep})
    folders(stopped_server).postgres.rename(folders(settings).postgres)
    try:
        server = postgres.ensure_running(settings)
        assert server.host.startswith("/tmp/twin-")
        assert stat.S_IMODE(Path(server.host).stat().st_mode) == 0o700
        assert one(server.url, "SELECT 1") == 1
    finally:
        postgres.stop(settings)
        postgres.socket_folder(settings).rmdir()


def test_a_closed_parent_folder_is_opened_to_postgres_alone(stopped_server: Settings) -> None:
    settings = stopped_server
    before = stat.S_IMODE(settings.home.parent.stat().st_mode)
    assert before == 0o700
    postgres.ensure_running(settings)
    assert not settings.home.parent.stat().st_mode & stat.S_IRWXO
    assert stat.S_IMODE(folders(settings).secrets.stat().st_mode) == 0o700


def test_a_real_server_is_checked_and_never_stopped(boss: Settings) -> None:
    server = postgres.ensure_running(boss)
    assert (server.embedded, server.host, server.user) == (False, "127.0.0.1", "boss")
    assert one(server.url, "SELECT current_user") == "boss"
    assert not postgres.stop(boss)
    assert postgres.is_running(boss)
    assert one(url_for(boss, database="dagster"), "SELECT current_database()") == "dagster"


def test_roles_on_a_real_server_go_to_its_host_with_their_own_password(boss: Settings) -> None:
    make_role(boss, "visitor")
    url = url_for(boss, role="visitor")
    assert "@127.0.0.1:" in url
    assert "boss" not in url
    assert one(url, "SELECT current_user") == "visitor"


def test_databases_are_made_on_a_real_server_under_the_names_the_settings_give(boss: Settings) -> None:
    elsewhere = SecretStr(boss.database_url.get_secret_value().replace("/twin", "/pen_name"))  # type: ignore[union-attr]
    settings = boss.model_copy(update={"database_url": elsewhere})
    postgres.ensure_running(settings)
    postgres.create_databases(settings)
    assert one(url_for(settings), "SELECT current_database()") == "pen_name"


def test_a_login_that_may_not_create_databases_is_told_what_to_do(boss: Settings) -> None:
    make_role(boss, "guest")
    url = url_for(boss, role="guest").replace("/twin", "/not_there")
    settings = boss.model_copy(update={"database_url": SecretStr(url)})
    with pytest.raises(InvalidInput, match="CREATE DATABASE not_there"):
        postgres.create_databases(settings)


def test_a_real_server_that_is_down_is_named_by_its_setting_without_its_password(new_settings: MakeSettings) -> None:
    settings = new_settings(database_url=SecretStr(f"postgresql://boss:hunter2@127.0.0.1:{free_port()}/twin"))
    with pytest.raises(ServiceUnavailable, match="TWIN_DATABASE_URL") as caught:
        postgres.ensure_running(settings)
    assert caught.value.exit_code == 3
    assert "hunter2" not in str(caught.value)
    assert not postgres.is_running(settings)


def test_a_url_of_something_else_is_refused(new_settings: MakeSettings) -> None:
    settings = new_settings(database_url=SecretStr("mysql://somewhere/twin"))
    with pytest.raises(InvalidInput, match="TWIN_DATABASE_URL"):
        postgres.ensure_running(settings)


def test_role_passwords_come_from_one_secret_that_only_we_can_read(new_settings: MakeSettings) -> None:
    settings = new_settings()
    first = postgres.role_password(settings, "api")
    assert first == postgres.role_password(settings, "api")
    assert first != postgres.role_password(settings, "reader")
    assert len(first) == 64
    secret = folders(settings).secrets / "role_secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert [path.name for path in secret.parent.iterdir()] == ["role_secret"]
    given = settings.model_copy(update={"role_secret": SecretStr("of their own")})
    assert postgres.role_password(given, "api") != first

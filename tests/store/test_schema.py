"""The schema: what Python believes is what the migrations make, there and back, and every row has an owner."""

from __future__ import annotations

from uuid import uuid4

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Table, create_engine, text
from sqlalchemy.pool import NullPool

from twin_core.store import migrate
from twin_core.store.database import Database, sqlalchemy_url
from twin_core.store.tables import metadata

SCHEMAS = {"warehouse", "features", "training", "serving", "analytics"}


def described(database: Database, kind: str) -> list[tuple[str, ...]]:
    """Every policy, grant, index, function or column of the product's schemas, as text."""
    queries = {
        "columns": "SELECT table_schema, table_name, column_name, data_type, is_nullable, column_default "
        "FROM information_schema.columns WHERE table_schema = ANY(:schemas)",
        "indexes": "SELECT indexdef FROM pg_indexes WHERE schemaname = ANY(:schemas)",
        "policies": "SELECT schemaname, tablename, policyname, roles::text, cmd, qual, with_check FROM pg_policies "
        "WHERE schemaname = ANY(:schemas)",
        "grants": "SELECT table_schema, table_name, grantee, privilege_type FROM information_schema.role_table_grants "
        "WHERE table_schema = ANY(:schemas)",
        "functions": "SELECT n.nspname, p.proname, p.prosrc, p.proacl::text FROM pg_proc p "
        "JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname = ANY(:schemas)",
    }
    with database.transaction() as connection:
        rows = connection.execute(text(queries[kind]), {"schemas": list(SCHEMAS)})
        return sorted(tuple(str(value) for value in row) for row in rows)


KINDS = ("columns", "indexes", "policies", "grants", "functions")


def test_the_tables_in_python_are_the_tables_of_the_migrations(database):
    ignored = {"add_index", "remove_index", "add_constraint", "remove_constraint", "add_fk", "remove_fk"}
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "compare_type": True,
                "include_name": lambda name, kind, _: kind != "schema" or name in SCHEMAS,
            },
        )
        differences = [
            found
            for found in compare_metadata(context, metadata)
            if not (isinstance(found, tuple) and found[0] in ignored)
        ]
    assert differences == []


def test_the_comparison_notices_a_column_that_only_python_knows(database):
    changed = type(metadata)()
    for table in metadata.tables.values():
        table.to_metadata(changed)
    Table("authors", changed, Column("surprise", psycopg_free_text()), schema="warehouse", extend_existing=True)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_schemas": True})
        found = [step for step in compare_metadata(context, changed) if isinstance(step, tuple)]
    assert any(step[0] == "add_column" and step[3].name == "surprise" for step in found)


def psycopg_free_text():
    from sqlalchemy import Text

    return Text()


def test_every_table_whose_rows_have_an_author_forces_row_level_security(database):
    with database.transaction() as connection:
        rows = connection.execute(
            text("""
                SELECT n.nspname || '.' || c.relname, c.relrowsecurity AND c.relforcerowsecurity,
                       EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'author_id')
                       OR c.relname = 'authors'
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY(:schemas)
            """),
            {"schemas": list(SCHEMAS)},
        ).all()
    authored = {name for name, _, has_author in rows if has_author}
    assert {name for name, forced, _ in rows if forced} == authored
    assert {name for name, _, _ in rows} - authored == {"features.embedding_models"}, "rows without an author"
    assert len(authored) >= 20


def test_every_view_asks_with_the_rights_of_who_asks(database):
    with database.transaction() as connection:
        rows = connection.execute(
            text("""
                SELECT c.relname, c.relkind, 'security_invoker=true' = ANY(coalesce(c.reloptions, '{}'))
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE c.relkind IN ('v', 'm') AND n.nspname = ANY(:schemas)
            """),
            {"schemas": list(SCHEMAS)},
        ).all()
    assert rows
    assert all(kind == "v" and invoker for _, kind, invoker in rows), "a materialised view leaks whatever its options"


def test_no_function_of_ours_may_be_called_by_everybody(database):
    with database.transaction() as connection:
        open_to_all = connection.execute(
            text("""
                SELECT p.proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                CROSS JOIN LATERAL aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS acl
                WHERE n.nspname = ANY(:schemas) AND acl.grantee = 0
            """),
            {"schemas": list(SCHEMAS)},
        ).all()
    assert open_to_all == []


def test_migrating_down_and_up_again_gives_the_same_schema(database):
    before = {kind: described(database, kind) for kind in KINDS}
    assert migrate.downgrade(database.url) is None
    assert described(database, "columns") == []
    assert migrate.upgrade(database.url) == migrate.newest()
    assert {kind: described(database, kind) for kind in KINDS} == before


def test_migrating_twice_changes_nothing(database):
    assert migrate.upgrade(database.url) == migrate.newest()
    assert migrate.upgrade(database.url) == migrate.newest()


@pytest.fixture
def plain_owner(server):
    """A database whose owner is no superuser, as on a hosted server."""
    name, role = f"t_{uuid4().hex[:16]}", f"owner_{uuid4().hex[:12]}"
    with psycopg.connect(server.url, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN CREATEROLE PASSWORD 'plain'")
        connection.execute(f"GRANT twin_pipeline, twin_api, twin_people TO {role} WITH ADMIN TRUE, INHERIT FALSE")
        connection.execute(f"CREATE DATABASE {name} OWNER {role}")
    with psycopg.connect(server.url, dbname=name, autocommit=True) as connection:
        connection.execute("CREATE EXTENSION vector")  # as hosts do: it takes a superuser
    before, _, after = server.url.partition("?")
    host = before.split("@", 1)[1].rsplit("/", 1)[0] if "@" in before else ""
    yield f"postgresql://{role}:plain@{host}/{name}" + ("?" + after if after else "")
    with psycopg.connect(server.url, dbname="postgres", autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        connection.execute(f"REASSIGN OWNED BY {role} TO postgres")
        connection.execute(f"DROP OWNED BY {role}")
        connection.execute(f"DROP ROLE {role}")


def test_an_owner_that_is_no_superuser_can_migrate_and_sees_what_it_writes(plain_owner):
    migrate.upgrade(plain_owner)
    engine = create_engine(sqlalchemy_url(plain_owner), poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(
            text("INSERT INTO warehouse.authors (id, slug, name) VALUES (gen_random_uuid(), 'ada', 'Ada')")
        )
        assert connection.execute(text("SELECT count(*) FROM warehouse.authors")).scalar_one() == 1
    engine.dispose()

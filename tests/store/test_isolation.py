"""One author, one twin, in the database itself: what a login bound to one author tries, and does not get.

Two authors have a row in every table. Ada's login for SQL, the API's login, and plain tricks: whatever is tried, it
fails or shows none of Bob's rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from uuid import UUID

import psycopg
import pytest
from psycopg import errors, sql
from sqlalchemy import text

from tests.retrieval.scenario import Given, direction, fill
from twin_core.records import Author
from twin_core.runtime.urls import role_password, url_for
from twin_core.store.database import Database
from twin_core.store.people import API_ROLE, ensure_api_role, ensure_sql_role, sql_role

# What `fill` does not write: one row for every other table that has an author.
REST = """
INSERT INTO warehouse.collect_runs (id, author_id, source_id) SELECT gen_random_uuid(), author_id, id FROM warehouse.sources;
INSERT INTO warehouse.ledger (run_id, author_id, source_id, native_id, location, outcome)
    SELECT id, author_id, source_id, 'n', 'l', 'fetched' FROM warehouse.collect_runs;
INSERT INTO warehouse.revisions (id, author_id, document_id, source_id, native_id, content_hash)
    SELECT head_revision_id, author_id, id, source_id, 'n', content_hash FROM warehouse.documents;
INSERT INTO warehouse.document_locations (author_id, source_id, native_id, document_id, revision_id, location, content_hash)
    SELECT author_id, source_id, id::text, id, head_revision_id, 'l', content_hash FROM warehouse.documents;
INSERT INTO warehouse.raw_documents SELECT head_revision_id, author_id, id, '{}' FROM warehouse.documents;
INSERT INTO warehouse.tombstones (author_id, hash, kind) SELECT id, slug, 'content' FROM warehouse.authors;
INSERT INTO warehouse.tombstone_texts (author_id, hash, bands) SELECT id, slug, '{}' FROM warehouse.authors;
INSERT INTO warehouse.collect_requests (id, author_id, source_id) SELECT gen_random_uuid(), author_id, id FROM warehouse.sources;
INSERT INTO warehouse.import_requests (id, author_id, name, bytes, sha256, claimed_by) SELECT gen_random_uuid(), id, 'n', 1, 'h', 'c' FROM warehouse.authors;
INSERT INTO warehouse.forget_requests (id, author_id, document_ids) SELECT gen_random_uuid(), id, '{}' FROM warehouse.authors;
INSERT INTO features.failures (author_id, stage, document_id, input_hash, stage_version, reason)
    SELECT author_id, 'clean', id, 'h', '1', 'r' FROM warehouse.documents;
INSERT INTO features.maintenance (author_id, action, detail, seconds) SELECT id, 'a', 'd', 1 FROM warehouse.authors;
INSERT INTO serving.api_keys (id, author_id, name, key_hash, prefix, scopes)
    SELECT gen_random_uuid(), id, 'k', 'hash of ' || slug, 'p', '{read}' FROM warehouse.authors;
INSERT INTO serving.sessions (id_hash, author_id, key_id, expires_at)
    SELECT 'hash of session ' || id, author_id, id, now() + interval '1 day' FROM serving.api_keys;
INSERT INTO serving.kept_responses (key_id, key, author_id, fingerprint, expires_at)
    SELECT id, 'k', author_id, 'f', now() + interval '1 day' FROM serving.api_keys;
INSERT INTO serving.token_use (key_id, minute, author_id, tokens) SELECT id, now(), author_id, 1 FROM serving.api_keys;
INSERT INTO serving.traces (id, author_id, question, answer, outcome, prompt_version)
    SELECT id, id, 'q', 'a', 'answered', '1' FROM warehouse.authors;
INSERT INTO serving.trace_passages (trace_id, author_id, label, chunk_id, document_id, revision_id, start_at, end_at, text, score)
    SELECT author_id, author_id, row_number() OVER (PARTITION BY author_id ORDER BY id), id, document_id, revision_id, 0, 1, text, 1 FROM features.chunks;
INSERT INTO serving.cached_answers (author_id, key, trace_id) SELECT author_id, 'k', id FROM serving.traces;
INSERT INTO serving.trace_candidates (trace_id, author_id, rank, chunk_id, document_id, score, legs)
    SELECT author_id, author_id, row_number() OVER (PARTITION BY author_id ORDER BY id), id, document_id, 1, '{"dense": 1}' FROM features.chunks;
INSERT INTO training.examples (id, author_id, document_id, revision_id, kind, category, origin, input_hash, prompt, answer, language, words, start_at, end_at)
    SELECT 'e' || document_id, author_id, document_id, revision_id, 'instruct', category, 'rule', 'h', '[]', text, 'en', 1, 0, 1 FROM features.chunks;
INSERT INTO training.dataset_versions (id, author_id, kind, input_hash, examples, manifest)
    SELECT 'v' || id, id, 'instruct', 'h', 1, '{}' FROM warehouse.authors;
INSERT INTO training.dataset_examples SELECT 'v' || author_id, id, author_id, 'train', 0 FROM training.examples;
INSERT INTO training.dataset_documents SELECT 'v' || author_id, id, author_id, head_revision_id, 'train', 1 FROM warehouse.documents;
INSERT INTO training.dataset_drops SELECT 'v' || author_id, id, author_id, category, 'too short', 1 FROM warehouse.documents;
INSERT INTO training.files (key, author_id, kind, version_id, document_ids, bytes)
    SELECT id::text || '/k', author_id, 'report', 'v' || author_id, ARRAY[id], 1 FROM warehouse.documents;
INSERT INTO serving.feedback (id, author_id, trace_id, verdict, edited) SELECT id, author_id, id, 'down', 'better' FROM serving.traces;
UPDATE features.cleaned_documents SET metadata = '{"thread": ["1", "2"]}';
INSERT INTO training.llm_answers (author_id, document_id, key, purpose, model, prompt_version, answer)
    SELECT author_id, id, 'k', 'instruction', 'm', '1', 'a' FROM warehouse.documents;
INSERT INTO training.attempts (id, author_id, kind, job_hash, version_id, job, host, pid)
    SELECT author_id, author_id, 'sft', 'h', id, '{}', 'h', 1 FROM training.dataset_versions;
INSERT INTO training.adapters (id, author_id, version, kind, base_model, base_hash, version_id, attempt_id, file_key, config, metrics, code_revision)
    SELECT 'a' || author_id, author_id, 1, 'sft', 'b', 'h', version_id, id, 'k', '{}', '{"loss": 1.5}', '1' FROM training.attempts;
INSERT INTO training.author_defaults (author_id, profile, changes, score, trials, version_id)
    SELECT author_id, 'tiny', '{}', 1, 1, id FROM training.dataset_versions;
INSERT INTO training.evaluations (id, author_id, adapter_id, version_id, split_id, documents, against, figures)
    SELECT author_id, author_id, id, version_id, 's', 40, '{"base": {"style": {"mean": 0.4, "low": 0.1, "high": 0.7}}}', '{}'
    FROM training.adapters;
INSERT INTO training.samples (evaluation_id, author_id, other, count, file_key)
    SELECT id, author_id, 'base', 1, 'k' FROM training.evaluations;
INSERT INTO training.sample_votes (evaluation_id, sample, author_id, better)
    SELECT evaluation_id, 1, author_id, 'neither' FROM training.samples;
INSERT INTO training.approvals (id, author_id, adapter_id, verdict, by) SELECT author_id, author_id, id, 'approve', 'p' FROM training.adapters;
INSERT INTO serving.deployments (id, author_id, adapter_id, engine, served_name, state)
    SELECT author_id, author_id, id, 'vllm', 'n', 'serving' FROM training.adapters;
UPDATE serving.traces SET deployment_id = author_id;
"""

Login = Callable[..., psycopg.Connection]


@pytest.fixture
def authors(database: Database) -> tuple[Author, Author]:
    """Ada and Bob, each with a row in every table that has an author."""
    ada = fill(database, "ada", [Given(title="Hers", text="A queue of her own.", vector=direction(1))])
    bob = fill(database, "bob", [Given(title="His", text="A secret of his own.", vector=direction(1))])
    with database.transaction() as connection:
        connection.exec_driver_sql(REST)
    return ada, bob


@pytest.fixture
def logins(database: Database, settings, authors) -> dict[str, str]:
    """The name of each author's login for SQL, by slug. The API's is there too."""
    with database.transaction() as connection:
        ensure_api_role(connection, role_password(settings, API_ROLE))
        roles = {author.slug: sql_role(connection, author.id) for author in authors}
        for author in authors:
            ensure_sql_role(connection, author, role_password(settings, roles[author.slug]))
    return roles


@pytest.fixture
def login(settings, logins) -> Iterator[Login]:
    """Connect as a role, each statement its own transaction."""
    opened: list[psycopg.Connection] = []

    def connect(role: str) -> psycopg.Connection:
        opened.append(psycopg.connect(url_for(settings, role=role), autocommit=True))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


@pytest.fixture
def ada(authors) -> Author:
    return authors[0]


@pytest.fixture
def bob(authors) -> Author:
    return authors[1]


@pytest.fixture
def hers(login, logins) -> psycopg.Connection:
    """Ada's own login for SQL, with everything undone that a person can undo."""
    connection = login(logins["ada"])
    connection.execute("SET default_transaction_read_only = off")
    return connection


@pytest.fixture
def api(login) -> psycopg.Connection:
    return login(API_ROLE)


def relations(database: Database) -> list[tuple[str, str]]:
    """Every table and view that has rows of authors, with the column that says whose."""
    with database.transaction() as connection:
        rows = connection.execute(
            text("""
                SELECT n.nspname || '.' || c.relname, CASE c.relname WHEN 'authors' THEN 'id' ELSE 'author_id' END
                FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname IN ('warehouse', 'features', 'training', 'serving', 'analytics') AND c.relkind IN ('r', 'v')
                AND c.relname <> 'embedding_models' ORDER BY 1
            """)
        )
        return [(name, column) for name, column in rows]


def seen(connection: psycopg.Connection, relation: str, column: str) -> set[UUID] | None:
    """Whose rows the login sees there, or None when it may not look."""
    query = sql.SQL("SELECT DISTINCT {} FROM {}").format(sql.Identifier(column), sql.Identifier(*relation.split(".")))
    try:
        return {row[0] for row in connection.execute(query)}
    except errors.InsufficientPrivilege:
        return None


HIDDEN = {
    "serving.kept_responses",
    "serving.api_keys",
    "serving.sessions",
    "serving.sql_roles",
    "warehouse.tombstones",
    "warehouse.tombstone_texts",
    "warehouse.authors",
}


def test_a_persons_login_sees_its_own_rows_everywhere_and_nobody_elses(database, hers, ada):
    shown = {relation: seen(hers, relation, column) for relation, column in relations(database)}
    assert {relation for relation, whose in shown.items() if whose is None} == HIDDEN
    assert {relation: whose for relation, whose in shown.items() if whose is not None and whose != {ada.id}} == {}


@pytest.mark.parametrize(
    "attempt",
    [
        "SELECT set_config('app.author_id', '{bob}', false)",
        "SET app.author_id = '{bob}'",
        "SET search_path = pg_temp, features, warehouse, public",
        "SET plan_cache_mode = force_generic_plan",
        "PREPARE all_of_it AS SELECT * FROM features.chunks",
    ],
)
def test_a_persons_login_changes_nothing_by_changing_its_session(database, hers, ada, bob, attempt):
    hers.execute(attempt.format(bob=bob.id))
    for relation, column in relations(database):
        assert seen(hers, relation, column) in (None, {ada.id}), relation


@pytest.mark.parametrize(
    "attempt",
    [
        "SET ROLE postgres",
        "SET ROLE twin_pipeline",
        "SET ROLE twin_api",
        "SET ROLE twin_people",
        "SET ROLE {bobs}",
        "SET SESSION AUTHORIZATION {bobs}",
        "SET SESSION AUTHORIZATION postgres",
        "GRANT twin_pipeline TO CURRENT_USER",
        "ALTER ROLE CURRENT_USER BYPASSRLS",
        "ALTER ROLE {bobs} PASSWORD 'known'",
        "ALTER TABLE features.chunks DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE features.chunks NO FORCE ROW LEVEL SECURITY",
        "DROP POLICY features_chunks_people ON features.chunks",
        "CREATE POLICY mine ON features.chunks USING (true)",
        "CREATE OR REPLACE FUNCTION serving.author_of_session_user() RETURNS uuid LANGUAGE sql AS 'SELECT NULL::uuid'",
        "ALTER VIEW analytics.chunks SET (security_invoker = false)",
        "SELECT serving.author_of_key('hash')",
        "SELECT serving.author_of_session('hash')",
        "SELECT serving.author_in_session()",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('.')",
        "SELECT lo_import('/etc/passwd')",
        "COPY features.chunks TO PROGRAM 'cat'",
        "COPY (SELECT 1) TO '/tmp/out'",
        "COPY features.chunks FROM '/etc/passwd'",
        "SELECT rolpassword FROM pg_authid",
        "SELECT * FROM pg_statistic",
        "CREATE TABLE public.mine (a int)",
        "CREATE TABLE features.mine (a int)",
        "CREATE TEMP TABLE mine (a int)",
        "CREATE FUNCTION public.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE FUNCTION pg_temp.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE EXTENSION dblink",
        "CREATE SCHEMA mine",
        "INSERT INTO serving.traces SELECT * FROM serving.traces",
        "UPDATE features.chunks SET text = 'x'",
        "DELETE FROM features.chunks",
        "TRUNCATE features.chunks",
        "DROP TABLE features.chunks",
        "BEGIN; LOCK TABLE features.chunks IN ACCESS EXCLUSIVE MODE",
        "SELECT nextval('features.chunks_key_seq')",
        "SELECT last_value FROM features.chunks_key_seq",
        "SELECT lo_create(0)",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_try_advisory_lock_shared(1)",
        "SELECT pg_logical_emit_message(false, 'x', 'x')",
        "SELECT pg_reload_conf()",
        "ALTER SYSTEM SET work_mem = '1GB'",
        "SET log_statement = 'none'",
        "SET session_replication_role = replica",
    ],
)
def test_a_persons_login_is_refused(hers, logins, attempt):
    with pytest.raises(psycopg.Error) as refused:
        hers.execute(attempt.format(bobs=logins["bob"]))
    assert isinstance(
        refused.value, errors.InsufficientPrivilege | errors.InvalidSchemaName | errors.FeatureNotSupported
    ), refused.value


def test_turning_policies_off_is_an_error_and_not_everybodys_rows(hers):
    hers.execute("SET row_security = off")
    with pytest.raises(errors.InsufficientPrivilege):
        hers.execute("SELECT * FROM features.chunks")


def test_a_function_that_tells_what_it_sees_is_told_nothing_of_others(hers):
    """A condition runs after the policy: an error in it would otherwise quote the rows that the policy hides."""
    with pytest.raises(errors.InvalidTextRepresentation) as told:
        hers.execute("SELECT * FROM features.chunks WHERE text::int = 1")
    assert "secret" not in str(told.value)
    counted = hers.execute("SELECT word FROM ts_stat($$ SELECT to_tsvector('simple', text) FROM features.chunks $$)")
    words = {word for (word,) in counted.fetchall()}
    assert "queue" in words
    assert "secret" not in words


def test_statistics_of_columns_show_no_values_of_others(database, hers):
    with database.transaction() as connection:
        connection.exec_driver_sql("ANALYZE features.chunks, features.cleaned_documents, warehouse.documents")
    shown = hers.execute("SELECT DISTINCT tablename FROM pg_stats WHERE schemaname IN ('features', 'warehouse')")
    # The list of embedding models belongs to no author; whether the server has analysed it meanwhile is its own affair.
    assert {table for (table,) in shown.fetchall()} <= {"embedding_models"}


def test_a_plan_and_a_count_are_of_her_own_rows(hers):
    assert hers.execute("SELECT count(*) FROM analytics.documents").fetchone() == (1,)
    assert hers.execute("SELECT sum(chunks) FROM analytics.embedding_coverage").fetchone() == (1,)


def test_the_api_without_an_author_sees_nothing(database, api):
    assert {relation: whose for relation, column in relations(database) if (whose := seen(api, relation, column))} == {}


def test_the_api_with_an_author_sees_that_author_everywhere(database, api, ada):
    api.execute("SELECT set_config('app.author_id', %s, false)", [str(ada.id)])
    shown = {relation: seen(api, relation, column) for relation, column in relations(database)}
    assert shown.pop("serving.sql_roles") is None
    assert {relation: whose for relation, whose in shown.items() if whose != {ada.id}} == {}


def test_the_authors_name_ends_with_the_transaction_on_a_pooled_connection(database, settings, logins, ada):
    pooled = Database(url_for(settings, role=API_ROLE), pool_size=1)
    count = text("SELECT count(*) FROM features.chunks")
    with pooled.as_author(ada.id) as connection:
        assert connection.execute(count).scalar_one() == 1
    with pooled.transaction() as connection:
        assert connection.execute(text("SELECT current_setting('app.author_id', true)")).scalar_one() == ""
        assert connection.execute(count).scalar_one() == 0
    pooled.close()


def test_the_api_cannot_write_rows_of_another_author(api, ada, bob):
    api.execute("SELECT set_config('app.author_id', %s, false)", [str(ada.id)])
    write = "INSERT INTO warehouse.forget_requests (id, author_id, document_ids) VALUES (gen_random_uuid(), %s, '{}')"
    api.execute(write, [ada.id])
    with pytest.raises(errors.InsufficientPrivilege):
        api.execute(write, [bob.id])
    with pytest.raises(errors.InsufficientPrivilege):
        api.execute("UPDATE serving.api_keys SET author_id = %s", [bob.id])


@pytest.mark.parametrize(
    "attempt",
    [
        "SET ROLE twin_pipeline",
        "SET ROLE postgres",
        "SELECT * FROM serving.sql_roles",
        "SELECT serving.author_of_session_user()",
        "DELETE FROM features.chunks",
        "DELETE FROM serving.api_keys",
        "UPDATE features.chunks SET text = 'x'",
        "INSERT INTO warehouse.authors (id, slug, name) VALUES (gen_random_uuid(), 'eve', 'Eve')",
        "CREATE TABLE public.mine (a int)",
        "CREATE TEMP TABLE mine (a int)",
        "SELECT pg_read_file('/etc/passwd')",
    ],
)
def test_the_api_is_refused(api, ada, attempt):
    api.execute("SELECT set_config('app.author_id', %s, false)", [str(ada.id)])
    with pytest.raises(errors.InsufficientPrivilege):
        api.execute(attempt)


def test_a_key_names_its_author_and_nothing_else_does(api, bob):
    found = api.execute("SELECT author_id, slug FROM serving.author_of_key(%s)", [f"hash of {bob.slug}"]).fetchall()
    assert found == [(bob.id, bob.slug)]
    assert api.execute("SELECT * FROM serving.author_of_key('hash of nobody')").fetchall() == []


def test_a_session_names_the_author_of_its_key_and_belongs_to_no_other(api, database, ada, bob):
    with database.transaction() as connection:
        hers, his = (
            connection.execute(
                text("SELECT id_hash FROM serving.sessions WHERE author_id = :author"), {"author": author.id}
            ).scalar_one()
            for author in (ada, bob)
        )
    assert api.execute("SELECT author_id FROM serving.author_of_session(%s)", [his]).fetchall() == [(bob.id,)]
    api.execute("SELECT set_config('app.author_id', %s, false)", [str(ada.id)])
    api.execute("DELETE FROM serving.sessions")
    assert api.execute("SELECT author_id FROM serving.author_of_session(%s)", [hers]).fetchall() == []
    assert api.execute("SELECT author_id FROM serving.author_of_session(%s)", [his]).fetchall() == [(bob.id,)]


def test_a_wrong_password_does_not_get_in(settings, logins):
    for role in (API_ROLE, logins["ada"]):
        url = url_for(settings, role=role).replace(role_password(settings, role), "wrong")
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(url, connect_timeout=5)

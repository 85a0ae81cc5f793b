"""Logins for people's SQL, and what runs under them: one role per author, read-only, held to that author.

Row-level security does the holding, by `session_user`, which no SQL can change (`migrations/`). The limits set here
(time, connections, read-only by default) are against accidents; what a role may see and write is by grants alone.
Where a password comes from is in `runtime/urls.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg import errors, sql
from sqlalchemy import Connection, text

from twin_core.errors import InvalidInput, Refused, ServiceUnavailable
from twin_core.records import Author
from twin_core.settings import CONNECT_SECONDS
from twin_core.store.database import psycopg_connection

API_ROLE = "twin_api"
SECONDS = 30
"""Longest query of a person. A number of passages that takes longer to count is worth an index."""
CONNECTIONS = 5
"""Connections per author at a time."""
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a query gave: column names, rows of plain values, and whether the limit cut it."""

    columns: tuple[str, ...]
    rows: list[tuple[object, ...]]
    cut: bool = False


def sql_role(conn: Connection, author_id: UUID) -> str:
    """The name of an author's login in this database.

    Made from ids and not from the slug, because every login can list all role names. The database is in it because
    roles belong to the server: an author of the same slug in another database must not share a password.
    """
    database = str(conn.execute(text("SELECT current_database()")).scalar_one())
    return f"twin_sql_{hashlib.sha256(author_id.bytes + database.encode()).hexdigest()[:12]}"


def ensure_sql_role(conn: Connection, author: Author, password: str) -> str:
    """Make the author's login for SQL, or bring it back to what it should be. Returns its name, that of `sql_role`.

    `conn` is the owner's, in a transaction; the role can log in once that has committed. Raises Refused when a role
    of that name can do more than it should.
    """
    role = sql_role(conn, author.id)
    _ensure_login(conn, role, password)
    member = "GRANT twin_people TO {role}"
    if _driver(conn).info.server_version >= 160_000:
        member += " WITH INHERIT TRUE, SET FALSE"
    settings = {
        "statement_timeout": sql.Literal(f"{SECONDS}s"),
        "idle_in_transaction_session_timeout": sql.Literal("60s"),
        "default_transaction_read_only": sql.Literal("on"),
        "search_path": sql.SQL("analytics, public"),  # the vector type and its operators are in public
    }
    statements = [
        sql.SQL(member).format(role=sql.Identifier(role)),
        sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(sql.Identifier(role), sql.Literal(CONNECTIONS)),
        *(
            sql.SQL("ALTER ROLE {} SET {} = {}").format(sql.Identifier(role), sql.Identifier(name), value)
            for name, value in settings.items()
        ),
    ]
    for statement in statements:
        _retried(conn, lambda statement=statement: _driver(conn).execute(statement))  # type: ignore[misc]
    _close_database(conn)
    conn.execute(
        text("""
            INSERT INTO serving.sql_roles (role_name, author_id) VALUES (:role, :author)
            ON CONFLICT (author_id) DO UPDATE SET role_name = excluded.role_name
        """),
        {"role": role, "author": author.id},
    )
    return role


def count_sql_roles(conn: Connection, author_id: UUID) -> int:
    """1 when the server has a login for the author's SQL, else 0."""
    found = conn.execute(
        text("SELECT count(*) FROM pg_roles WHERE rolname = :role"), {"role": sql_role(conn, author_id)}
    )
    return int(found.scalar_one())


def drop_sql_role(conn: Connection, author_id: UUID) -> int:
    """Take the author's login for SQL away, ending its connections. Returns how many there were: 1 or 0.

    Raises Refused when the owner may not drop it.
    """
    held, role = count_sql_roles(conn, author_id), sql_role(conn, author_id)
    if held:
        conn.execute(text("DELETE FROM serving.sql_roles WHERE role_name = :role"), {"role": role})
        conn.execute(
            text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = :role"), {"role": role}
        )
        statement = sql.SQL("DROP ROLE {}").format(sql.Identifier(role))
        try:
            _retried(conn, lambda: _driver(conn).execute(statement))
        except (errors.InsufficientPrivilege, errors.DependentObjectsStillExist) as error:
            raise Refused(
                f"The login {role} cannot be dropped: {_first(error)}. As an administrator of the server run DROP OWNED BY "
                f"{role} and DROP ROLE {role}; then try again."
            ) from error
    return held


def ensure_api_role(conn: Connection, password: str) -> None:
    """Give the API's login its password, and check that row-level security holds it.

    For whoever opens the stores with `role="twin_api"`: call it on the owner's connection, in a transaction, before
    the first connection as that role. Raises Refused when the role could pass by the policies.
    """
    _ensure_login(conn, API_ROLE, password)
    _close_database(conn)


def run_readonly(url: str, query: str, limit: int) -> Result:
    """Run one SQL statement as the login in `url`, in a read-only transaction, and return at most `limit` rows.

    Raises InvalidInput for SQL that is wrong or takes too long, Refused for what the login may not do, and
    ServiceUnavailable when the server does not answer or does not let the login in.
    """
    if not query.strip():
        raise InvalidInput("There is no query. Give one SQL statement, such as: SELECT * FROM documents")
    if limit < 1:
        raise InvalidInput(f"A query returns at least 1 row, not {limit}.")
    try:
        connection = psycopg.connect(url, connect_timeout=CONNECT_SECONDS, autocommit=True)
    except psycopg.OperationalError as error:
        raise ServiceUnavailable(f"Postgres does not let this login in: {_first(error)}.") from error
    with connection:
        try:
            return _rows(connection, query, limit)
        except psycopg.Error as error:
            raise _explained(error, query) from error


def _rows(connection: psycopg.Connection[tuple[object, ...]], query: str, limit: int) -> Result:
    connection.execute("BEGIN READ ONLY")
    columns: tuple[str, ...] = ()
    rows: list[tuple[object, ...]] = []
    with connection.cursor() as cursor, closing(_stream(cursor, query)) as streamed:
        # Streamed: any kind of statement but only one, and no more rows in memory than were asked for.
        for row in streamed:
            if len(rows) == limit:
                return Result(columns=columns, rows=rows, cut=True)
            columns = columns or _columns(cursor)
            rows.append(row)
    return Result(columns=columns or _described(connection, query), rows=rows)


def _stream(cursor: psycopg.Cursor[tuple[object, ...]], query: str) -> Generator[tuple[object, ...], None, None]:
    yield from cursor.stream(query.encode())


def _described(connection: psycopg.Connection[tuple[object, ...]], query: str) -> tuple[str, ...]:
    """The columns of a query that gave no row: a stream says nothing of them then."""
    connection.pgconn.prepare(b"", query.encode())
    described = connection.pgconn.describe_prepared(b"")
    return tuple((described.fname(index) or b"").decode() for index in range(described.nfields))


def _columns(cursor: psycopg.Cursor[tuple[object, ...]]) -> tuple[str, ...]:
    return tuple(column.name for column in cursor.description or ())


def _explained(error: psycopg.Error, query: str) -> InvalidInput | ServiceUnavailable:
    if isinstance(error, errors.QueryCanceled):
        return InvalidInput(
            f"The query ran longer than {SECONDS} seconds and was stopped. Narrow it, or ask for a count first."
        )
    if isinstance(error, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
        return Refused(f"{_first(error)}. Logins for SQL read the rows of their author and nothing else.")
    if isinstance(error, psycopg.OperationalError) and not error.sqlstate:
        return ServiceUnavailable(f"Postgres went away during the query: {_first(error)}.")
    return InvalidInput(f"The query failed: {_first(error)}.{_where(error, query)}")


def _where(error: psycopg.Error, query: str) -> str:
    position = error.diag.statement_position
    hint = f" {error.diag.message_hint}" if error.diag.message_hint else ""
    if not position:
        return hint
    before = query[: int(position) - 1]
    return f" At line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}.{hint}"


def _ensure_login(conn: Connection, role: str, password: str) -> None:
    _retried(conn, lambda: _make(conn, role))
    _check_harmless(conn, role)
    # Hashed here, so that no log of statements ever holds a password.
    hashed = _driver(conn).pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    statement = sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(sql.Identifier(role), sql.Literal(hashed))
    _retried(conn, lambda: _driver(conn).execute(statement))


def _make(conn: Connection, role: str) -> None:
    if conn.execute(text("SELECT FROM pg_roles WHERE rolname = :role"), {"role": role}).first() is None:
        _driver(conn).execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))


def _check_harmless(conn: Connection, role: str) -> None:
    row = conn.execute(
        text("""
            SELECT rolsuper OR rolbypassrls OR rolcreaterole OR rolreplication AS mighty,
                   ARRAY(SELECT m.roleid::regrole::text FROM pg_auth_members m
                         WHERE m.member = r.oid AND m.roleid::regrole::text <> 'twin_people') AS groups
            FROM pg_roles r WHERE rolname = :role
        """),
        {"role": role},
    ).one()
    if row.mighty or row.groups:
        what = f"a member of {', '.join(row.groups)}" if row.groups else "allowed to pass by row-level security"
        raise Refused(
            f"The database role {role} is {what}, so it would not be held to one author. As an administrator of the "
            f"server, drop it or take that away; then try again."
        )


def _close_database(conn: Connection) -> None:
    """Take away what every login gets on a database: temporary tables, which fill a disk from read-only queries."""
    open_to_all = conn.execute(
        text("""
            SELECT current_database() FROM pg_database d
            CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) AS acl
            WHERE d.datname = current_database() AND acl.grantee = 0 AND acl.privilege_type = 'TEMPORARY'
        """)
    ).scalar_one_or_none()
    if open_to_all is not None:
        name = sql.Identifier(open_to_all)
        take = sql.SQL("REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC").format(name)
        give = sql.SQL("GRANT TEMPORARY ON DATABASE {} TO twin_pipeline").format(name)  # bulk loading stages rows there
        _retried(conn, lambda: _driver(conn).execute(take))
        _retried(conn, lambda: _driver(conn).execute(give))


def _retried(conn: Connection, step: Callable[[], object]) -> None:
    """Run a statement on a role or a database again when another process has just changed the same one.

    Processes of one database take turns by an advisory lock. Roles are shared by all databases of a server, advisory
    locks are not.
    """
    conn.execute(text("SELECT pg_advisory_xact_lock(hashtext('twin roles'))"))
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with conn.begin_nested():
                step()
            return
        except (errors.DuplicateObject, errors.UniqueViolation, errors.InternalError_) as error:
            known = "tuple concurrently" in str(error) or not isinstance(error, errors.InternalError_)
            if attempt == _ATTEMPTS or not known:
                raise


def _driver(conn: Connection) -> psycopg.Connection[tuple[object, ...]]:
    return psycopg_connection(conn)


def _first(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0].rstrip(".")

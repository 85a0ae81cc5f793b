"""The entry point of the `twin` command: the table of commands, and what becomes of an error.

A command's module is imported when that command is called, so that `twin --help` and a typing mistake answer at
once whatever the rest costs to import. Commands live in one module per group; what they print with, in `output.py`.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any, NamedTuple, cast

import typer
from typer.core import TyperGroup
from typer.exceptions import Abort, TyperException

from twin_core.errors import TwinError

PARTLY, USAGE, MISSING_SERVICE, INTERRUPTED = 1, 2, 3, 130


class Entry(NamedTuple):
    """Where a command is and what `twin --help` says of it. `where` names a function, or a `typer.Typer` group."""

    where: str
    help: str
    panel: str


WRITING, RUNNING = "Your writing and your twin", "Services on this machine"

COMMANDS: dict[str, Entry] = {
    "demo": Entry("twin_cli.demo:demo", "Build a twin of the demo author and ask it three questions.", WRITING),
    "author": Entry("twin_cli.authors:author", "Add and list authors.", WRITING),
    "source": Entry("twin_cli.sources:source", "Add, list, pause and remove the places an author writes in.", WRITING),
    "import": Entry("twin_cli.imports:import_", "Import an official export, or a folder of your own files.", WRITING),
    "apply": Entry("twin_cli.apply:apply", "Bring authors and sources to what a file describes.", WRITING),
    "sync": Entry("twin_cli.sync:sync", "Collect what is new and make it searchable.", WRITING),
    "items": Entry("twin_cli.sources:items", "Show how each item of a source's last run ended.", WRITING),
    "documents": Entry(
        "twin_cli.documents:documents", "List documents, show where one comes from, merge, split.", WRITING
    ),
    "forget": Entry("twin_cli.documents:forget", "Forget a document, a source or an author, for good.", WRITING),
    "search": Entry("twin_cli.search:search", "Look something up in an author's writing.", WRITING),
    "sql": Entry("twin_cli.sql:sql", "Read one author's rows in SQL.", WRITING),
    "ask": Entry("twin_cli.ask:ask", "Ask a twin; the answer comes with its sources.", WRITING),
    "write": Entry(
        "twin_cli.write:write_", "Draft a post, article, thread, reply or code in an author's manner.", WRITING
    ),
    "traces": Entry("twin_cli.traces:traces", "List answers and drafts, show how one came about, export.", WRITING),
    "dataset": Entry("twin_cli.datasets:dataset", "Build, compare and export what a twin learns from.", WRITING),
    "train": Entry("twin_cli.train:train", "Fine-tune a model on an author's dataset.", WRITING),
    "compare": Entry("twin_cli.train:compare", "Compare two adapters: data, settings, figures.", WRITING),
    "models": Entry("twin_cli.adapters:models", "List an author's adapters, and which one serves.", WRITING),
    "evaluate": Entry("twin_cli.adapters:evaluate", "Measure an adapter beside the champion.", WRITING),
    "approve": Entry("twin_cli.adapters:approve", "Let an adapter serve, if the promotion rule agrees.", WRITING),
    "reject": Entry("twin_cli.adapters:reject", "Record that an adapter shall not serve.", WRITING),
    "rollback": Entry("twin_cli.adapters:rollback", "Let the adapter before serve again, at once.", WRITING),
    "key": Entry("twin_cli.keys:key", "Make, list and revoke keys for the API.", WRITING),
    "up": Entry("twin_cli.services:up", "Start every service and keep them running.", RUNNING),
    "down": Entry("twin_cli.services:down", "Stop every service, Postgres last.", RUNNING),
    "status": Entry("twin_cli.services:status", "Show what runs, what is stored, and for whom.", RUNNING),
    "doctor": Entry("twin_cli.doctor:doctor", "Check this machine and say what to do about it.", RUNNING),
    "backup": Entry("twin_cli.backups:backup", "Save database and files in one archive.", RUNNING),
    "restore": Entry("twin_cli.backups:restore", "Bring a backup back, without what was forgotten since.", RUNNING),
    "migrate": Entry("twin_cli.migrate:migrate", "Bring the database to a schema revision by hand.", RUNNING),
}
"""Every command of `twin`, in the order `twin --help` shows them. To add one, add one line here.

The function is an ordinary Typer command: annotated parameters, a docstring as its help, `output.finish(code)` when it
ends as anything but done. Its module may import what it needs at the top: nothing imports it before it is called.
"""


class LazyGroup(TyperGroup):
    """A group that knows its commands by the table alone, and imports one when it is called or asked for help."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  the base class's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        entry = COMMANDS.get(cmd_name)
        return None if entry is None else load(cmd_name, entry)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        # The base class suggests what was meant from the names it holds; which commands they are it asks above.
        self.commands = dict.fromkeys(COMMANDS, cast("Any", None))
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Plain text from the table. Typer's own help would import every command to ask for one line each."""
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        for panel in dict.fromkeys(entry.panel for entry in COMMANDS.values()):
            with formatter.section(panel):
                formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items() if entry.panel == panel])
        with formatter.section("Options"):
            formatter.write_dl([row for row in (p.get_help_record(ctx) for p in self.get_params(ctx)) if row])


def load(name: str, entry: Entry) -> Any:
    """The command behind an entry, imported now."""
    module, _, attribute = entry.where.partition(":")
    found = getattr(import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        app.command(name)(found)
        found = app
    command = typer.main.get_command(found)
    command.name = name
    return command


app = typer.Typer(cls=LazyGroup, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback(help="Your own writing, made into a co-writer that cites it. Everything stays on this machine.")
def root(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="TWIN_DEBUG", help="Show where an error came from, for a bug report.")
    ] = False,
) -> None:
    if debug:
        os.environ["TWIN_DEBUG"] = "1"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code: 0 done, 1 in part, 2 wrong usage or input, 3 a service missing."""
    raise SystemExit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. An error becomes a paragraph for a person, on stderr."""
    command = typer.main.get_command(app)
    try:
        result = command.main(args=arguments, prog_name="twin", standalone_mode=False)
    except TyperException as error:
        show = getattr(error, "show", None)
        if show is not None:
            show()
        else:
            _complain(str(error))
        return error.exit_code
    except (Abort, KeyboardInterrupt):
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  the last one there is: it turns every error into words and a code
        if os.environ.get("TWIN_DEBUG", "") not in {"", "0", "false"}:
            import traceback

            traceback.print_exception(error)
        return _explain(error)
    return result if isinstance(result, int) else 0


def _explain(error: Exception) -> int:
    """Say what went wrong and what to do next; return the exit code."""
    if isinstance(error, TwinError):
        _complain(str(error))
        return error.exit_code
    if isinstance(error, BrokenPipeError):  # the reader had enough: `twin documents | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    kind = type(error)
    if kind.__name__ == "ValidationError" and getattr(error, "title", "") == "Settings":
        _complain(f"A setting cannot be used. {_wrong_settings(error)}")
        return USAGE
    if kind.__name__ == "OperationalError" and kind.__module__.partition(".")[0] in {"psycopg", "sqlalchemy"}:
        first = str(error).strip().partition("\n")[0]
        _complain(f"The database stopped answering ({first}). Look at `twin status`; `twin up` starts it.")
        return MISSING_SERVICE
    _complain(
        f"Something unexpected went wrong: {kind.__name__}: {error}. This is a mistake in the program, not in what you "
        f"asked. Run it again as `twin --debug ...` to see where, and report that."
    )
    return PARTLY


def _wrong_settings(error: Any) -> str:
    found = []
    for wrong in error.errors(include_url=False, include_input=False):
        name = "_".join(str(part) for part in wrong["loc"]).upper()
        found.append(f"TWIN_{name.removeprefix('TWIN_')}: {wrong['msg']}.")
    return " ".join([*found, "docs/settings.md explains each."])


def _complain(text: str) -> None:
    typer.echo(f"twin: {text}", err=True)


if __name__ == "__main__":
    main()

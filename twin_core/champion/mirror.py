"""MLflow's aliases and tags, brought to what the registry says: `python -m twin_core.champion.mirror SLUG`.

`serving.deployments` is the truth; this is for who looks at models in MLflow. It is a process of its own, because MLflow takes seconds to
import and longer to give up on a server that is away, and what serves waits for neither.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from twin_core.champion.judging import judge_or_judged
from twin_core.champion.model_card import evaluated, scorecard
from twin_core.errors import TwinError
from twin_core.models.adapter_files import CARD, read_card
from twin_core.records import Author
from twin_core.runtime.mlflow_store import require_mlflow, tracking_uri
from twin_core.runtime.services import child_environment
from twin_core.runtime.urls import url_for
from twin_core.settings import Settings, settings
from twin_core.store import adapters, registry
from twin_core.store.adapters import Adapter
from twin_core.store.authors import author_by_slug
from twin_core.store.database import Database
from twin_core.store.files import file_store, read_file
from twin_core.store.registry import Deployment
from twin_core.training.tracking import registered_name

CHAMPION, CHALLENGER, PREVIOUS = "champion", "challenger", "previous"
MOST_SECONDS = 120
MOST_CHARACTERS = 5000
"""Of a description: MLflow's database takes no more."""
ENVIRONMENT = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
"""A server that is away is given up after seconds: by itself MLflow tries for minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What MLflow shall say of an author's registered model."""

    aliases: Mapping[str, str]
    """Alias -> adapter id."""
    tags: Mapping[str, Mapping[str, str]]
    """Adapter id -> tags of its version."""
    scorecards: Mapping[str, str] = field(default_factory=dict)
    """Adapter id -> what the scorecard of one that was evaluated says, for its version's description."""
    cards: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Adapter id -> its run, and its model card with that in it."""


def mirror(author: Author, here: Settings) -> str | None:
    """Bring MLflow to what the registry says. Returns why not when it could not be done: nothing that serves depends on it."""
    if tracking_uri(here) is None:
        return None
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "twin_core.champion.mirror", author.slug],
            env=child_environment(here) | ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
            timeout=MOST_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"MLflow does not show this yet: it did not answer within {MOST_SECONDS} s."
    if not ended.returncode:
        return None
    return f"MLflow does not show this yet: {_reason(ended.stderr) or f'exit code {ended.returncode}'}"


def _reason(stderr: str) -> str:
    """The line that names the error, of a traceback whose message goes on after it; else the last one."""
    lines = [line for line in stderr.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exception): ", line)]
    return (named or lines or [""])[-1][:300]


def said_of(conn: Connection, author: Author, *, here: Settings) -> Said:
    """What the registry says now."""
    there = adapters.list_adapters(conn, author.id, limit=1000)
    deployed = registry.deployments(conn, author.id)
    aliases = {
        alias: one.adapter_id
        for alias, state in ((CHAMPION, "serving"), (PREVIOUS, "previous"))
        for one in deployed
        if one.state == state
    }
    if (asking := _challenger(conn, author, there, deployed)) is not None:
        aliases[CHALLENGER] = asking.id
    tags, scorecards, cards = {}, {}, {}
    for one in there:
        evaluation = registry.latest_evaluation(conn, author.id, one.id)
        decision = judge_or_judged(conn, author.id, one)
        last = registry.latest_decision(conn, author.id, one.id)
        tags[one.id] = {
            "verdict": decision.verdict.value if evaluation is not None else "not evaluated",
            "decision": f"{last.verdict}: {last.state}" if last is not None else "",
            "deployment": next((d.state for d in deployed if d.adapter_id == one.id), ""),
            "tainted": "true" if one.tainted_at is not None else "false",
        }
        if evaluation is not None:
            scorecards[one.id] = scorecard(evaluation, decision)[:MOST_CHARACTERS]
            text = read_card(read_file(file_store(here), one.file_key))
            if text is not None and one.mlflow_run_id is not None:
                cards[one.id] = (one.mlflow_run_id, evaluated(text, evaluation, decision))
    return Said(aliases=aliases, tags=tags, scorecards=scorecards, cards=cards)


def _challenger(
    conn: Connection, author: Author, there: Sequence[Adapter], deployed: Sequence[Deployment]
) -> Adapter | None:
    """The newest adapter that may still come to serve: after the champion, never brought up, neither rejected nor tainted."""
    serving = next((d.adapter_id for d in deployed if d.state == "serving"), None)
    tried = {d.adapter_id for d in deployed if d.state not in {"starting", "failed"}}
    for one in there:
        if one.id == serving:
            return None
        last = registry.latest_decision(conn, author.id, one.id)
        rejected = last is not None and last.verdict == "reject"
        if one.id not in tried and one.tainted_at is None and not rejected:
            return one
    return None


def write(client: Any, name: str, said: Said) -> None:
    """Make the registered model say it; what it says already is not written again. Raises mlflow's MlflowException."""
    from mlflow.exceptions import MlflowException

    try:
        now = dict(client.get_registered_model(name).aliases)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return  # nothing was ever trained with MLflow on
    versions = {one.tags.get("adapter"): one for one in client.search_model_versions(f"name='{name}'")}
    for adapter_id, tags in said.tags.items():
        if (version := versions.get(adapter_id)) is None:
            continue
        for key, value in tags.items():
            if version.tags.get(key) != value:
                client.set_model_version_tag(name, version.version, key, value)
        text = said.scorecards.get(adapter_id)
        if text is not None and version.description != text:
            if adapter_id in said.cards:
                run_id, card = said.cards[adapter_id]
                client.log_text(run_id, card, CARD)
            client.update_model_version(name, version.version, description=text)
    for alias in (CHAMPION, CHALLENGER, PREVIOUS):
        wanted = versions.get(said.aliases.get(alias, ""))
        if wanted is not None and str(now.get(alias)) != str(wanted.version):
            client.set_registered_model_alias(name, alias, wanted.version)
        elif wanted is None and alias in now:
            client.delete_registered_model_alias(name, alias)


def main(arguments: Sequence[str]) -> int:
    """The process: the last line of stderr says why it failed."""
    here = settings()
    database = Database(url_for(here), pool_size=1)
    try:
        uri = require_mlflow(here)
        with database.transaction() as conn:
            author = author_by_slug(conn, arguments[0])
            said = said_of(conn, author, here=here)
    except TwinError as error:
        print(error, file=sys.stderr)  # noqa: T201  the reason, for the process that asked
        return error.exit_code
    finally:
        database.close()
    import mlflow

    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    write(mlflow.MlflowClient(tracking_uri=uri, registry_uri=uri), registered_name(author.slug), said)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

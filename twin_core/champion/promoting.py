"""Carrying a decision out: judge again, bring the adapter up beside the one that serves, try it, switch.

Until the switch, which is one transaction, the champion answers as before; whatever goes wrong earlier leaves it alone.
"""

from __future__ import annotations

import asyncio
from uuid import UUID

from sqlalchemy import Connection

from twin_core.champion import engines
from twin_core.champion.judging import as_record, judge, require
from twin_core.errors import Refused, ServiceUnavailable, TwinError
from twin_core.models.chat import ChatClient, Message, served_by
from twin_core.records import Author
from twin_core.settings import Settings
from twin_core.store import adapters, registry
from twin_core.store.database import Database
from twin_core.store.files import file_store
from twin_core.store.registry import Approval, Deployment

SMOKE_PROMPTS = ("Say in a sentence what you write about.", "Write two sentences about a plan that changed.")
"""What a server must answer, in any words, before it takes the place of one that works."""
SMOKE_TOKENS = 24


def carry_out(database: Database, author: Author, approval_id: UUID, *, settings: Settings) -> Approval:
    """Act on a person's decision and return it as it stands then: `done`, or `refused` with the rule's reasons.

    Who comes second, such as Dagster's sensor while `twin approve` is at work, waits and finds it done. Raises TwinError when
    the adapter could not be brought up; the decision stays open then and may be tried again.
    """
    with database.deployment_lock():
        return _carried_out(database, author, approval_id, settings)


def _carried_out(database: Database, author: Author, approval_id: UUID, settings: Settings) -> Approval:
    with database.transaction() as conn:
        given = registry.approval(conn, author.id, approval_id)
        if given.state != "requested":
            return given
        if given.verdict == "reject" or not _permitted(conn, author, given):
            if given.verdict == "reject":
                registry.finish_decision(conn, given.id, state="done", decision=None)
            return registry.approval(conn, author.id, given.id)
        adapter = adapters.adapter_by_id(conn, author.id, given.adapter_id)
        engine = engines.engine_of(settings)
        deployment = registry.begin_deployment(
            conn,
            author_id=author.id,
            adapter_id=adapter.id,
            engine=engine,
            served_name=f"{author.slug}-v{adapter.version}",
            approval_id=given.id,
        )
        kept = registry.deployments(conn, states=registry.LOADED, engine=engine)
    try:
        engines.bring_up(database, deployment, adapter, settings=settings, files=file_store(settings), kept=kept)
        with database.transaction() as conn:
            (deployment,) = (one for one in registry.deployments(conn, author.id) if one.id == deployment.id)
        asyncio.run(try_out(deployment, settings))
    except TwinError as error:
        with database.transaction() as conn:
            registry.fail_deployment(conn, deployment.id, str(error))
            registry.keep_problem(conn, given.id, str(error))
        raise
    return _switch(database, author, given, deployment)


def _permitted(conn: Connection, author: Author, given: Approval) -> bool:
    """Whether the rule still permits it; closes the decision when it does not."""
    decision = judge(conn, author.id, adapters.adapter_by_id(conn, author.id, given.adapter_id))
    try:
        _not_rejected(registry.latest_decision(conn, author.id, given.adapter_id))
        require(decision, given.reason)
    except Refused as refusal:
        registry.finish_decision(conn, given.id, state="refused", decision=as_record(decision), problem=str(refusal))
        return False
    return True


def _not_rejected(latest: Approval | None) -> None:
    if latest is not None and latest.verdict == "reject":
        raise Refused(f"It was rejected since, by {latest.by}: {latest.reason}")


def _switch(database: Database, author: Author, given: Approval, deployment: Deployment) -> Approval:
    """Judge once more, since bringing up takes minutes, and switch in the same transaction."""
    with database.transaction() as conn:
        if not _permitted(conn, author, given):
            registry.fail_deployment(conn, deployment.id, "the promotion rule refused it while it came up")
            return registry.approval(conn, author.id, given.id)
        decision = judge(conn, author.id, adapters.adapter_by_id(conn, author.id, given.adapter_id))
        registry.switch_to(conn, deployment)
        registry.finish_decision(conn, given.id, state="done", decision=as_record(decision))
        return registry.approval(conn, author.id, given.id)


async def try_out(deployment: Deployment, settings: Settings) -> None:
    """Ask the smoke prompts as the product asks, without a temperature: at 0 small models repeat one token. Raises ServiceUnavailable when one is not answered."""
    async with ChatClient(settings) as client:
        asked = client.asking(served_by(deployment, settings))
        for prompt in SMOKE_PROMPTS:
            said = await asked.complete([Message(role="user", content=prompt)], max_tokens=SMOKE_TOKENS)
            if not said.text.strip():
                raise ServiceUnavailable(
                    f"{deployment.served_name} came up and answered {prompt!r} with nothing, so it does not serve. Look at the "
                    f"LLM server's log, and at the adapter's training."
                )

"""The checks on what the feature stages published: rules over measures, evaluated per author by Great Expectations.

They report; they do not protect readers. Each stage validates before the transaction that publishes commits
(`twin_core.features`); what is found here was damaged afterwards, by hand or by a bug, and holds up what comes
downstream. The measures are in `twin_core.store.facts`, how rules are evaluated in `expectations.py`.

Annotations are evaluated: Dagster does not understand the ones that `from __future__` leaves as text.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import UUID

import dagster as dg
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from sqlalchemy import Connection

from twin_assets.automation import transient_errors
from twin_assets.expectations import Finding, Rule, evaluate
from twin_assets.failing import permanent_errors_are_final
from twin_assets.partitions import author_check
from twin_assets.reports import markdown_table
from twin_assets.resources import Twin
from twin_core.store import facts
from twin_core.store.authors import author_by_slug

RULES_VERSION = "1"
"""Raise it when a rule changes: what was found under the old rules then counts no more."""
NORM_TOLERANCE = 0.01
"""Vectors are normalised in float32 and stored as 16-bit floats, which moves a norm by at most 0.001."""

CLEANED_RULES = (
    Rule("no_empty_text", "Every cleaned document has text.", "characters", at_least=1),
    Rule("no_duplicate_documents", "A live document has one cleaned text.", "document_id", unique=True),
)
EMBEDDING_RULES = (
    Rule("no_empty_chunk", "Every chunk has text.", "characters", at_least=1),
    Rule("no_duplicate_chunks", "A chunk has one vector of the serving model.", "chunk_id", unique=True),
    Rule("vector_for_every_chunk", "Every chunk has a vector of the serving model.", "vectors", at_least=1, at_most=1),
    Rule("vectors_are_current", "A vector is that of its chunk's text as it is now.", "of_this_text", at_least=1),
    Rule(
        "norms_near_one",
        "Vectors are normalised, so that inner product is cosine similarity.",
        "norm",
        at_least=1 - NORM_TOLERANCE,
        at_most=1 + NORM_TOLERANCE,
    ),
)

Read = Callable[[Connection, UUID], Any]


def _checks(
    name: str, asset: str, identifier: str, rules: Sequence[Rule], *, read: Read, fingerprint: Read
) -> dg.AssetChecksDefinition:
    """The checks of one asset, as one step."""
    specs = [author_check(rule.name, asset, rule.description, blocking=True) for rule in rules]

    @dg.multi_asset_check(name=name, specs=specs, retry_policy=transient_errors)
    def evaluated(context: dg.AssetCheckExecutionContext, twin: Twin) -> Iterator[dg.AssetCheckResult]:
        with permanent_errors_are_final():
            database = twin.stores.database
            with database.transaction() as conn:
                author_id = author_by_slug(conn, context.partition_key).id
                state = f"{RULES_VERSION}:{fingerprint(conn, author_id)}"
                before = _found_before(context, specs, state)
                measured = None if before is not None else read(conn, author_id)
            findings = before if measured is None else evaluate(rules, measured, identifier=identifier)
            assert findings is not None
            yield from (
                _result(spec, finding, state, again=before is None)
                for spec, finding in zip(specs, findings, strict=True)
            )

    return evaluated


def _found_before(
    context: dg.AssetCheckExecutionContext, specs: Sequence[dg.AssetCheckSpec], state: str
) -> list[Finding] | None:
    """What each check found when the measures were last as they are now, or None when any of them never saw that.

    Great Expectations takes seconds to import. The fingerprint of the measures is one query over them all, made anew
    every time, so nothing that changed goes unseen; only the evaluation of equal measures is spared.
    """
    findings = []
    for spec in specs:
        records = context.instance.event_log_storage.get_asset_check_execution_history(
            spec.key,
            limit=1,
            status={AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED},
            partition_filter=PartitionKeyFilter(key=context.partition_key),
        )
        last = records[0].evaluation if records else None
        if last is None or last.metadata.get("state") != dg.MetadataValue.text(state):
            return None
        values = {name: value.value for name, value in last.metadata.items()}
        findings.append(
            Finding(
                passed=last.passed,
                checked=int(str(values["checked"])),
                wrong=int(str(values["wrong"])),
                examples=tuple(str(values.get("examples") or "").split()),
            )
        )
    return findings


def _result(spec: dg.AssetCheckSpec, finding: Finding, state: str, *, again: bool) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        asset_key=spec.asset_key,
        check_name=spec.name,
        passed=finding.passed,
        description=(spec.description or "") + ("" if again else " (Nothing changed since this was last evaluated.)"),
        metadata={
            "summary": dg.MetadataValue.md(
                markdown_table(("rule", "checked", "wrong"), [(spec.description, finding.checked, finding.wrong)])
            ),
            "checked": finding.checked,
            "wrong": finding.wrong,
            "evaluated_now": again,
            "state": state,
            **({"examples": " ".join(finding.examples)} if finding.examples else {}),
        },
    )


feature_checks = [
    _checks(
        "cleaned_documents_checks",
        "cleaned_documents",
        "document_id",
        CLEANED_RULES,
        read=facts.cleaned_facts,
        fingerprint=facts.cleaned_fingerprint,
    ),
    _checks(
        "embeddings_checks",
        "embeddings",
        "chunk_id",
        EMBEDDING_RULES,
        read=facts.embedding_facts,
        fingerprint=facts.embedding_fingerprint,
    ),
]

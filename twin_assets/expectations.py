"""Rules over a frame of measures, evaluated by Great Expectations (GX Core 1.x), which is imported when that happens.

`dagster-ge` is for the versions before 1.0. What the rules are is in `checks.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

EXAMPLES = 10
"""Ids of wrong rows that a finding names."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold of every value of one column that is there: within bounds, or unique."""

    name: str
    description: str
    column: str
    at_least: float | None = None
    at_most: float | None = None
    unique: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one rule found."""

    passed: bool
    checked: int
    wrong: int
    examples: tuple[str, ...] = ()
    """Ids of some of the wrong rows."""


def evaluate(rules: Sequence[Rule], columns: Mapping[str, Sequence[object]], *, identifier: str) -> list[Finding]:
    """One finding per rule, in order. `columns` are of equal length; `identifier` is the one that names a row.

    No rows satisfy every rule. Raises RuntimeError when an expectation itself could not be evaluated.
    """
    count = len(columns[identifier])
    if not count:
        return [Finding(passed=True, checked=0, wrong=0) for _ in rules]

    os.environ["GX_ANALYTICS_ENABLED"] = "False"  # read when it is imported: no library reports home
    import great_expectations as gx
    import pandas as pd
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(enable=False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("store").add_dataframe_asset("facts")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": pd.DataFrame(dict(columns))})
    suite = gx.ExpectationSuite("rules", expectations=[_expectation(gx, rule) for rule in rules])
    outcome: Any = batch.validate(
        suite, result_format={"result_format": "COMPLETE", "unexpected_index_column_names": [identifier]}
    )
    by_rule = {result.expectation_config.meta["rule"]: result for result in outcome.results}
    return [_finding(by_rule[rule.name], count, identifier) for rule in rules]


def _expectation(gx: Any, rule: Rule) -> Any:
    expectations = gx.expectations
    if rule.unique:
        return expectations.ExpectColumnValuesToBeUnique(column=rule.column, meta={"rule": rule.name})
    return expectations.ExpectColumnValuesToBeBetween(
        column=rule.column, min_value=rule.at_least, max_value=rule.at_most, meta={"rule": rule.name}
    )


def _finding(result: object, count: int, identifier: str) -> Finding:
    trouble = result.exception_info  # type: ignore[attr-defined]
    if trouble.get("raised_exception"):
        raise RuntimeError(f"An expectation could not be evaluated: {trouble.get('exception_message')}")
    found = result.result  # type: ignore[attr-defined]
    rows = found.get("unexpected_index_list") or []
    return Finding(
        passed=bool(result.success),  # type: ignore[attr-defined]
        checked=int(found.get("element_count", count)),
        wrong=int(found.get("unexpected_count", 0)),
        examples=tuple(str(row[identifier]) for row in rows[:EXAMPLES]),
    )

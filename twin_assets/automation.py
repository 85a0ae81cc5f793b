"""When a stage runs although nobody asked: the automation condition of the feature assets, and their retries.

The driver is the `refresh` job; this is the backstop for what changed otherwise: a stage run by hand, a restored
database, a run that ended between two stages.
"""

from __future__ import annotations

import dagster as dg

_Condition = dg.AutomationCondition

# `eager()` counts every materialisation of a parent as an update. Ours are materialised by each refresh, most of
# which find nothing new, so only a changed data version counts: else every quiet refresh would start another run.
_changed = _Condition.any_deps_match(_Condition.data_version_changed() | _Condition.will_be_requested())

when_inputs_change = (
    _Condition.eager().replace("any_deps_updated", _changed) & _Condition.all_deps_blocking_checks_passed()
).with_label("inputs changed and passed their checks")

transient_errors = dg.RetryPolicy(max_retries=2, delay=2.0, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.FULL)
"""For every asset. What may not be retried is raised as a `dg.Failure` by `failing.permanent_errors_are_final`."""

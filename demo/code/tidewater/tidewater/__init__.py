# SPDX-License-Identifier: Apache-2.0
"""Small pieces for work that has to wait its turn.

Everything is measured in seconds, as floats, from whatever origin suits you.
Nothing in here reads a clock or sleeps unless you let it.
"""

from tidewater.backoff import Backoff
from tidewater.bucket import TokenBucket
from tidewater.budget import RetryBudget, attempt
from tidewater.durations import human, parse
from tidewater.intervals import Interval, common, gaps, merge, subtract, total
from tidewater.tides import Step, Tide, first_fit, plan_back

__all__ = [
    "Backoff",
    "Interval",
    "RetryBudget",
    "Step",
    "Tide",
    "TokenBucket",
    "attempt",
    "common",
    "first_fit",
    "gaps",
    "human",
    "merge",
    "parse",
    "plan_back",
    "subtract",
    "total",
]

__version__ = "0.3.0"

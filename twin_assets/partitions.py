"""The one partition of every asset: the author, by slug.

Never one partition per document: a stage finds the documents that changed by itself, in one query, while a thousand
partitions would be a thousand rows in every tick of the automation.
"""

from __future__ import annotations

import dagster as dg

AUTHORS = "authors"
"""Name of the set of keys in the Dagster instance. `due_sources` and `twin sync` add to it."""

authors = dg.DynamicPartitionsDefinition(name=AUTHORS)

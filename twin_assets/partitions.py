"""The one partition of every asset and check: the author, by slug.

Never one partition per document: a stage finds the documents that changed by itself, in one query, while a thousand
partitions would be a thousand rows in every tick of the automation.
"""

from __future__ import annotations

import warnings

import dagster as dg

AUTHORS = "authors"
"""Name of the set of keys in the Dagster instance. `due_sources` and `twin sync` add to it."""

authors = dg.DynamicPartitionsDefinition(name=AUTHORS)


def author_check(name: str, asset: str, description: str, *, blocking: bool = False) -> dg.AssetCheckSpec:
    """A check that is evaluated per author, so that one author's broken row holds up nobody else.

    Partitions on checks are in preview in Dagster 1.13, hence the warning that is not shown. Without them there is one
    result for all authors, the last one, and a blocking check would let the wrong author through.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(name, asset=asset, description=description, blocking=blocking, partitions_def=authors)

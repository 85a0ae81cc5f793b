"""The Dagster code location: assets, checks, sensors and jobs over `twin_core`, one file per concept.

An asset reads a store, calls `twin_core`, writes a store and returns metadata. What the product does is in
`twin_core`; how one Dagster instance is found by every process, in `instance.py`.
"""

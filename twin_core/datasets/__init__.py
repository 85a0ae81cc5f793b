"""From cleaned documents to immutable, explainable training sets.

The stage reads snapshot 1 and the search over snapshot 2, and writes `training.*`. The path of a build: `split.py`
says which documents are held out, `passages.py` cuts them, `instructions.py` finds what each passage answers,
`filters.py` says what stays out and why, `versions.py` puts it together and publishes.
"""

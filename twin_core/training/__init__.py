"""Training: from a dataset version to a registered adapter, in a process of its own.

`config.py` says how, `estimate.py` what it will cost, `rows.py` makes what TRL trains on, `sft.py` and `dpo.py` train, `process.py`
is the entry point (`python -m twin_core.training JOB.json`), `launch.py` opens an attempt and starts it. What an adapter is worth
is in `evaluation/`; which one serves, in `promotion.py`. Nothing here is needed to serve or to roll back.
"""

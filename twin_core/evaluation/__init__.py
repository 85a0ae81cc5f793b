"""Evaluation: does it sound like the author, and is it right? One module per axis; `scorecard.py` puts them together.

Nothing here decides anything: what follows from the figures is said in `twin_core/promotion.py`.
"""

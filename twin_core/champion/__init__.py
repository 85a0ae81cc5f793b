"""From an approved adapter to the one that answers: the evidence is judged again, the adapter brought up, tried, switched to.

The rule is `promotion.py`, the tables are `store/registry.py`. Going back is one statement there and needs nothing of
this package, so that it works when everything here is broken.
"""

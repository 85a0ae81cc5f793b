"""One module per platform, named as the platform, with a `COLLECTOR` in it; `registry.py` finds them here.

What several platforms share (fetching, globs, reading texts, git) is one level up.
"""

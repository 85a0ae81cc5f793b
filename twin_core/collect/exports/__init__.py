"""One module per official export format, named as the platform, with a `FORMAT` in it; `registry.py` finds them here.

What a format must be able to do is in `formats.py`; how members are read as streams, in `archive.py`; what several
formats share, in `pieces.py`. They lie one level up.
"""

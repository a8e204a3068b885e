"""Plain re-implementations of the official algorithms, one sample at a time, on raw networks.

Nothing of the library's own is used in them; ``compare.py`` measures how far the library is from each,
``report.py`` prints it.
"""

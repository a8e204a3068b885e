"""Plain re-implementations of the official algorithms, one sample at a time, on raw networks: what the library is
compared with. Nothing of the library's own is used.
"""

"""Attacks on erased models, one a file."""

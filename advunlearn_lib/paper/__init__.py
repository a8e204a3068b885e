"""What the paper says: its cells and its claims, and how both are compared with ours."""

from advunlearn_lib.paper import tables

__all__ = ["tables"]

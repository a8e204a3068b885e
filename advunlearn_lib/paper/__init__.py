"""What the paper reports and claims, and how ours compares."""

from advunlearn_lib.paper import cells, claims, panels
from advunlearn_lib.paper.item import Item

__all__ = ["Item", "cells", "claims", "panels"]

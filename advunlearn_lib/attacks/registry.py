"""The attacks by name.

A new one is one file here, or in a package with an entry point ``advunlearn_lib.attacks``.
"""

from __future__ import annotations

from advunlearn_lib.attacks.attack import Attack
from advunlearn_lib.base.registry import Registry

ATTACKS: Registry[Attack] = Registry("advunlearn_lib.attacks")

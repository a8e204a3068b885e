"""The erasure methods by name.

A new one is one file here, or in a package with an entry point ``advunlearn_lib.erasure``.
"""

from __future__ import annotations

from advunlearn_lib.base.registry import Registry
from advunlearn_lib.erasure.method import Method

METHODS: Registry[Method] = Registry("advunlearn_lib.erasure")

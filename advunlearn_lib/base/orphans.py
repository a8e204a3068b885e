"""No process of ours outlives the one that started it, however that one ended."""

from __future__ import annotations

import os
from multiprocessing import parent_process
from multiprocessing.connection import wait
from threading import Thread


def end_with_parent() -> None:
    """End this process, whatever it is doing, as soon as the one that started it is gone.

    For processes that multiprocessing spawns; in others it does nothing.
    """
    parent = parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    Thread(target=watch, daemon=True).start()

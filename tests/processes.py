"""What tests ask of processes that they started."""

import os
import time


def gone(process):
    """Has it, or every process of the group ``-process``, ended within ten seconds?"""
    for _ in range(100):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False

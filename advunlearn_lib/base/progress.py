"""The progress bar: a widget in a notebook a person has open, plain text where ``reproduce.sh`` runs it."""

from __future__ import annotations

import os

from diffusers.utils import logging

logging.disable_progress_bar()  # loading is quick; its bars would hide ours

if os.environ.get("ADVUNLEARN_PLAIN_PROGRESS"):
    from tqdm import tqdm
else:
    from tqdm.auto import tqdm

__all__ = ["tqdm"]

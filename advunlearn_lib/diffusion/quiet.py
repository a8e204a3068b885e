"""Loading is quick: the libraries' bars for it would hide ours, or drown a notebook."""

from __future__ import annotations

from huggingface_hub.utils.tqdm import are_progress_bars_disabled, enable_progress_bars


def no_loading_bars() -> None:
    """Turn off diffusers' and transformers' bars, and leave the hub's, of downloads, as they are."""
    import transformers.utils.logging
    from diffusers.utils import logging

    logging.disable_progress_bar()
    if not are_progress_bars_disabled():
        transformers.utils.logging.disable_progress_bar()  # the hub's with it
        enable_progress_bars()

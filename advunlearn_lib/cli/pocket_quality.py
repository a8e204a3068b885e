"""``pocket-quality``: how good the shipped model is, and what its world can carry."""

from __future__ import annotations

from argparse import Namespace

from advunlearn_lib.cli.pocket_options import output_folder
from advunlearn_lib.profiles.load import load_profile
from tools.pocket_model.quality import report
from tools.pocket_model.world_bars import report_world


def run(options: Namespace) -> int:
    """Measure the quality bars, or the world's."""
    (report_world if options.world else report)(load_profile(), output_folder(options, "training"))
    return 0

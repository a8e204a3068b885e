"""``tune``: choose hyper-parameters on the validation concepts."""

from __future__ import annotations

from argparse import Namespace

from advunlearn_lib.base.errors import choose
from advunlearn_lib.cli.pocket_options import KINDS, output_folder
from advunlearn_lib.profiles.load import load_profile
from tools.pocket_model.search import search
from tools.pocket_model.search_budget import search_budget


def run(options: Namespace) -> int:
    """Search the methods' settings, or the attack's budget."""
    profile, folder = load_profile(seed=options.seed), output_folder(options, "tuning")
    if options.budget:
        search_budget(profile, folder)
        return 0
    known = sorted({key.method for key in profile.methods})
    method = options.method and choose("method", options.method, known)
    search(profile, folder, (options.kind,) if options.kind else KINDS, method)
    return 0

"""``store``: is what a profile's store holds still what was written, and what can it do without?"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable

from advunlearn_lib.base.errors import UserError, choose
from advunlearn_lib.base.files import ASIDE
from advunlearn_lib.base.leftovers import leftovers
from advunlearn_lib.base.paths import store_root
from advunlearn_lib.base.sealed import Damaged, check
from advunlearn_lib.base.store import PARTIAL, Store
from advunlearn_lib.profiles.load import load_profile

MEANING = {PARTIAL: "half made: the next run would go on from it", ASIDE: "damaged, set aside"}


def run(options: Namespace) -> int:
    """Check the store, or clear it up. Raises :class:`UserError` where there is none."""
    what = choose("store command", options.what, ACTIONS)
    if options.yes and what != "gc":
        raise UserError(f"--yes does not go with {what} (allowed: gc)")
    root = store_root(load_profile(options.profile).name)
    if not root.is_dir():
        raise UserError(f"there is no store {str(root)!r} yet: run a table first, or set ADVUNLEARN_STORE")
    return ACTIONS[what](Store(root), options.yes)


def verify(store: Store, _: bool) -> int:
    """A line for each damaged cell; 1 where there is any. Nothing is changed."""
    cells, damaged = store.cells(), 0
    for folder in cells:
        try:
            check(folder)
        except Damaged as damage:
            damaged += 1
            print(f"{folder / damage.file}: {damage}", flush=True)
    print(f"{len(cells)} finished cells, {damaged} damaged: {store.root}")
    if damaged:
        print("a run that needs a damaged cell sets it aside and computes it again")
    return 1 if damaged else 0


def gc(store: Store, yes: bool) -> int:
    """Leftovers that no process holds, listed, and removed if ``yes``."""
    found = leftovers(store, remove=yes)
    for path, size in found.items():
        for mark, meaning in MEANING.items():
            if mark in path.name:
                print(f"  {path.relative_to(store.root)}, {size / 1e6:.1f} MB: {meaning}")
    locks = sum(path.suffix == ".lock" for path in found)
    amount = f"{sum(found.values()) / 1e6:.1f} MB (leftovers: {len(found) - locks}, locks: {locks})"
    print(f"{'removed' if yes else 'would remove'} {amount}{'' if yes or not found else '; --yes does it'}")
    return 0


ACTIONS: dict[str, Callable[[Store, bool], int]] = {"verify": verify, "gc": gc}

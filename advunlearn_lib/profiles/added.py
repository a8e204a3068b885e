"""Methods and attacks from a file of the user's: ``./reproduce.sh table5 --add my_method.py``."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from typing import NamedTuple, get_args

from advunlearn_lib.attacks.registry import ATTACKS
from advunlearn_lib.base.errors import UserError, choose, validated
from advunlearn_lib.base.keys import key_of
from advunlearn_lib.erasure.registry import METHODS
from advunlearn_lib.profiles.schema import (
    COMPONENTS,
    Kind,
    MethodKey,
    MethodSettings,
    Profile,
    component_name,
)


class Registered(NamedTuple):
    """What a file registers, by names in the registries."""

    methods: list[str]
    attacks: list[str]


@cache
def load_added(file: str) -> Registered:
    """Import ``file``, once a process; its decorators register what it defines.

    Raises :class:`UserError` for a file that is not there, that Python cannot import, or without any.
    """
    path = Path(file)
    if path.suffix != ".py" or not path.is_file():
        raise UserError(f"--add takes a Python file, not {file!r}")
    methods, attacks = set(METHODS), set(ATTACKS)
    name = f"{path.stem}_{key_of({'file': file})}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        raise UserError(f"--add {file}: {type(error).__name__}: {first}") from error
    registered = Registered(sorted(set(METHODS) - methods), sorted(set(ATTACKS) - attacks))
    if not registered.methods and not registered.attacks:
        raise UserError(f"--add {file}: it registers no method and no attack")
    return registered


def with_added(profile: Profile) -> Profile:
    """The profile with the methods of its ``added`` files, for concepts of every kind.

    A method has the defaults of its OPTIONS. Raises :class:`UserError` for one whose LABEL is missing or
    another's.
    """
    methods = dict(profile.methods)
    for file in profile.added:
        for name in load_added(file).methods:
            method, taken = METHODS[name], {key.method for key in methods} | {*profile.bases}
            if not method.LABEL or method.LABEL in taken:
                fault = f"LABEL {method.LABEL!r} is another's" if method.LABEL else "it has no LABEL"
                raise UserError(f"--add {file}: {name}: {fault}; it names the method in the tables")
            part = validated("option", method.OPTIONS, {}).component
            component = component_name(choose("component", part, COMPONENTS.values()))
            keys = (MethodKey(method.LABEL, component, kind) for kind in get_args(Kind))
            methods |= dict.fromkeys(keys, MethodSettings(method=name))
    return profile.model_copy(update={"methods": methods})

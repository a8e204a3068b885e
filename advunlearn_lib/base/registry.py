"""Classes by name.

A file in the package registers its own by a decorator, another package by an entry point.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Generic, TypeVar

from advunlearn_lib.base.keys import fingerprint

Base = TypeVar("Base")


def code_of(cls: type) -> str:
    """What a recipe says of a class: the key of its file, nothing where it is one of the package's own."""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return fingerprint(file) if file and not cls.__module__.startswith("advunlearn_lib.") else ""


class Registry(Mapping[str, type[Base]], Generic[Base]):
    """All classes that a package's modules, or entry points, register by name.

    The modules are those of ``package`` and those named by entry points of the group ``package``.
    ``class Mine(Method)`` under ``@METHODS.register("mine")`` is all it takes.
    Iterates in alphabetical order.
    """

    def __init__(self, package: str) -> None:
        self.package = package
        self._classes: dict[str, type[Base]] = {}
        self._complete = False

    def register(self, name: str) -> Callable[[type[Base]], type[Base]]:
        """A class decorator. Raises ``ValueError`` for a name that another class has."""

        def decorate(cls: type[Base]) -> type[Base]:
            if self._classes.get(name, cls) is not cls:
                raise ValueError(f"{name!r} is registered by {self._classes[name].__qualname__} already")
            self._classes[name] = cls
            return cls

        return decorate

    def _all(self) -> dict[str, type[Base]]:
        if not self._complete:
            self._complete = True
            for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__):
                importlib.import_module(f"{self.package}.{module.name}")
            for entry in entry_points(group=self.package):
                entry.load()
        return self._classes

    def __getitem__(self, name: str) -> type[Base]:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._all(), key=str.lower))

    def __len__(self) -> int:
        return len(self._all())

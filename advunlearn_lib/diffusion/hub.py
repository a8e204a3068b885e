"""Where a model comes from: a local folder, or a hub id pinned as ``owner/name@revision``."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.paths import DATA, NO_DATA

NEVER_RUN = "code that comes with weights is never run"
LIBRARIES = ("diffusers", "transformers", "stable_diffusion", None)  # a pipeline's parts are from these


def location(model: str | Path) -> tuple[str, dict[str, Any]]:
    """What ``from_pretrained`` takes for ``model``: a folder or hub id, and its options.

    Raises :class:`UserError` for what is neither: a path that does not exist, or an id with more than one
    slash; for the pocket model where it is not; and for a folder that asks for code of its own.
    """
    if Path(model).exists():
        check_no_code(Path(model))
        return str(model), {"local_files_only": True}
    ours = Path(model).is_relative_to(DATA) or str(model).startswith("data/pocket")
    if ours and not (DATA / "pocket").is_dir():
        raise UserError(NO_DATA)
    name, _, revision = str(model).partition("@")
    if name.count("/") != 1 or not all(name.split("/")) or name.startswith((".", "~")):
        allowed = "allowed: a folder, owner/name, owner/name@revision"
        raise UserError(f"{str(model)!r} is neither a folder nor a hub id ({allowed})")
    return name, {"revision": revision or "main", "local_files_only": offline()}


def check_no_code(folder: Path) -> None:
    """Raise :class:`UserError` for a folder whose configurations ask for Python code that comes with it."""
    for file in sorted((*folder.glob("*config.json"), *folder.glob("*/*config.json"))):
        try:
            config = json.loads(file.read_text())
        except (OSError, ValueError):
            continue  # whoever loads it says what is wrong with it
        if isinstance(config, dict) and "auto_map" in config:
            name = file.relative_to(folder)
            raise UserError(f"{str(folder)!r}: its {name} asks for code of its own (auto_map); {NEVER_RUN}")


def check_classes(model: str | Path, index: dict[str, Any]) -> None:
    """Refuse a pipeline by its ``model_index.json``, a class a part, before any of them is imported.

    Raises :class:`UserError` for a part that is of neither diffusers nor transformers, and for their ``Auto``
    classes, which take what the part's folder names.
    """
    for part, value in index.items():
        if part.startswith("_") or not isinstance(value, list):
            continue  # no part
        library, name = (*value, None, None)[:2]
        if library not in LIBRARIES or re.match("Auto(?!encoder)", str(name)):
            allowed = "allowed: the classes of diffusers and transformers by their own names"
            raise UserError(f"{str(model)!r}: its {part} is {library}.{name}; {NEVER_RUN} ({allowed})")


def check_folder(model: str | Path, what: str, wanted: str) -> None:
    """Refuse a ``model`` that is neither a hub id nor a folder of the ``wanted`` network.

    Raises :class:`UserError` where the folder's ``config.json`` does not name ``wanted`` (a pattern) as type
    or architecture: weights of another network would load as random ones.
    """
    location(model)
    if not Path(model).exists():
        return  # a hub id
    try:
        config = json.loads((Path(model) / "config.json").read_text())
        names = [config["model_type"], *(config.get("architectures") or [])]
    except (OSError, ValueError, LookupError, TypeError):
        raise UserError(f"{str(model)!r} is not {what}: no config.json there names one") from None
    if not any(re.fullmatch(wanted, str(name)) for name in names):
        raise UserError(f"{str(model)!r} is not {what}: its config.json says {', '.join(map(str, names))}")


def check_clip(model: str | Path) -> None:
    """Raise :class:`UserError` for a folder that is no whole CLIP."""
    check_folder(model, "a CLIP model", "clip")


def offline() -> bool:
    """Has the user, or the pocket profile, asked for no network?"""
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")


def reason(error: Exception, model: str | Path) -> str:
    """Why a model could not be loaded, in one line a user can act on."""
    name, text = type(error).__name__, f"{error} {error.__cause__ or ''}"
    if "GatedRepo" in name or "gated repo" in text:
        return f"{str(model)!r} is gated: accept its licence on the hub, then `hf auth login` or set HF_TOKEN"
    if "RepositoryNotFound" in name or "401 Client Error" in text or "404 Client Error" in text:
        return f"the hub has no {str(model)!r}, or it is private: check the name, or set HF_TOKEN"
    if not Path(model).exists() and (
        "offline" in text.lower() or "LocalEntryNotFound" in text or "connect" in text.lower()
    ):
        remedy = "go online once, or give a local folder"
        return f"{str(model)!r} is not in the local cache and the hub cannot be reached: {remedy}"
    if "trust_remote_code" in text:
        return f"{str(model)!r} asks for code of its own; {NEVER_RUN}"
    lines = str(error).strip().splitlines()
    return f"{str(model)!r}: {lines[0][:200] if lines else name}"

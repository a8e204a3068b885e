"""Text that a user named, within Markdown."""

from __future__ import annotations

ESCAPES = str.maketrans(
    {"\\": "\\\\", "|": "\\|", "$": "\\$", "*": "\\*", "~": "\\~", "`": "'", "&": "&amp;", "<": "&lt;"}
)


def plain(text: str) -> str:
    """A text of the user's within Markdown, in tables too: one line, no code, HTML, formula or link."""
    return " ".join(text.split()).translate(ESCAPES).replace("](", "]\\(")

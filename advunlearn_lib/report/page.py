"""An executed notebook as an HTML page: nothing remote, code folded, light and dark, narrow or wide.

Pictures that the run kept are shown from the files beside the page, in full size; others are in the page.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path

from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbformat import NotebookNode
from pygments.formatters import HtmlFormatter
from traitlets.config import Config

TEMPLATES = Path(__file__).parent
FORMULA = re.compile(r"\$\$?([^$]+)\$\$?")
HIDDEN = ("parameters", "injected-parameters", "colab")  # cells that the stamp tells, and Colab's alone


def to_html(notebook: NotebookNode) -> str:
    """The page of an executed ``notebook``, titled as its first heading says."""
    hidden = {"enabled": True, "remove_cell_tags": HIDDEN}
    exporter = HTMLExporter(
        template_name="page",
        extra_template_basedirs=[str(TEMPLATES)],
        exclude_input_prompt=True,
        exclude_output_prompt=True,
        config=Config(TagRemovePreprocessor=hidden),
    )
    heading = title_of(notebook)
    notebook = copy.deepcopy(notebook)
    for cell in notebook.cells:  # what a picture is called where it is not seen
        heading = [heading, *headings(cell)][-1]
        cell.metadata.setdefault("alt", heading)
        for output in cell.get("outputs", []):
            if kept := output.get("metadata", {}).get("image/png", {}).get("file"):
                output.metadata.filenames = {"image/png": kept}
        if cell.cell_type == "markdown":
            cell.source = FORMULA.sub(as_mathml, cell.source)
    resources = {"metadata": {"name": title_of(notebook)}, "highlighting": highlighting()}
    page, _ = exporter.from_notebook_node(notebook, resources=resources)
    return without_unused_colours(str(page))


def as_mathml(found: re.Match[str]) -> str:
    """A formula that browsers draw by themselves; one between ``$$`` on a line of its own."""
    formula = " ".join(found[1].split()).replace(r"\arg", r"\mathrm{arg}")  # which the library does not know
    return convert(formula, display="block" if found[0].startswith("$$") else "inline")


def headings(cell: NotebookNode) -> list[str]:
    """The headings of a Markdown cell."""
    lines = cell.source.splitlines() if cell.cell_type == "markdown" else []
    return [line.lstrip("# ") for line in lines if line.startswith("#")]


def title_of(notebook: NotebookNode) -> str:
    """A notebook's first heading."""
    return next((heading for cell in notebook.cells for heading in headings(cell)), "notebook")


def highlighting() -> str:
    """Colours of code, on light and on dark."""
    light, dark = (
        HtmlFormatter(style=style).get_style_defs(".highlight") for style in ("default", "github-dark")
    )
    return re.sub(r" */\*.*?\*/", "", f"{light}\n@media (prefers-color-scheme: dark) {{\n{dark}\n}}")


def without_unused_colours(page: str) -> str:
    """A page less what its style says of line numbers and of kinds of code that it does not have."""
    page = re.sub(r"^(td|span)\.linenos.*\n", "", page, flags=re.MULTILINE)
    rule = re.compile(r"^\.highlight \.(\w+) \{.*\}\n", re.MULTILINE)
    return rule.sub(lambda found: found[0] if f'class="{found[1]}"' in page else "", page)

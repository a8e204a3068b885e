"""A notebook's page: what a reader sees, and what it asks of the network, which is nothing."""

import re

import jupytext
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from advunlearn_lib.base.paths import ROOT
from advunlearn_lib.report.page import FORMULA, highlighting, to_html

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="


def notebook():
    """As papermill leaves one: parameters, a notice on stderr, a table, a picture."""
    injected = new_code_cell('profile = "hidden one"', metadata={"tags": ["injected-parameters"]})
    table = new_output("display_data", {"text/html": "<table><tr><td>21.1</td></tr></table>"})
    picture = new_output("display_data", {"image/png": PIXEL})
    cells = [
        new_markdown_cell("# Table <3>: which module?\n\nText.\n\n## The table"),
        injected,
        new_code_cell("item.table()", outputs=[table, new_output("stream", name="stderr", text="a notice")]),
        new_markdown_cell("## Samples\n\nLeft and right."),
        new_code_cell("show()", outputs=[picture]),
    ]
    return new_notebook(cells=cells)


def test_the_page_is_titled_and_its_pictures_have_words():
    page = to_html(notebook())
    assert "<title>Table &lt;3&gt;: which module?</title>" in page
    assert 'alt="Samples"' in page and "<td>21.1</td>" in page


def test_code_is_folded_and_parameters_and_notices_are_left_out():
    page = to_html(notebook())
    assert page.count("<details>") == page.count("</details>") == 2
    folded = "".join(re.findall(r"<details>.*?</details>", page, re.DOTALL))
    assert "table" in folded and "21.1" not in folded
    assert "hidden one" not in page and "a notice" not in page


def test_nothing_is_fetched_and_the_head_is_small():
    page = to_html(notebook())
    assert "<script" not in page and not re.findall(r'(?:src|href)="(?!data:|#)[^"]*', page)
    head = page[: page.index("</head>")]
    assert len(head) < 20_000 and 'name="viewport"' in head and "prefers-color-scheme: dark" in head


def test_code_has_the_colours_that_it_needs_and_no_others():
    head, body = to_html(notebook()).split("</head>")
    used = set(re.findall(r'<span class="(\w+)"', body))
    ruled, every = (
        set(re.findall(r"^\.highlight \.(\w+) ", css, re.MULTILINE)) for css in (head, highlighting())
    )
    assert ruled and ruled == every & used and "linenos" not in head


def test_formulas_are_drawn_by_the_browser_itself():
    cells = [
        new_markdown_cell("# T\n\nWith $c^* < d$, $c^*$:\n\n$$\\min_\\theta\n\\|\\theta\\|_2^2$$\n\nthe end")
    ]
    source = new_notebook(cells=cells)
    page = to_html(source)
    formulas = re.findall(r'<math .*?display="(\w+)".*?</math>', page)
    assert formulas == ["inline", "inline", "block"] and "$$" in source.cells[0].source
    assert "$" not in page and "<em>" not in page  # Markdown takes nothing within a formula for its own
    assert page.count("<mi>&#952;</mi>") + page.count("<mi>θ</mi>") == 2 and "<mo>min</mo>" in page


def test_a_picture_that_was_kept_is_shown_from_its_file():
    said = {"image/png": {"file": "table3-dots.png", "alt": 'a "quoted" <title>'}}
    kept = new_output("display_data", {"image/png": PIXEL}, metadata=said)
    page = to_html(new_notebook(cells=[new_code_cell("item.save(figure)", outputs=[kept])]))
    assert 'src="table3-dots.png"' in page and PIXEL not in page
    assert "alt='a \"quoted\" &lt;title&gt;'" in page


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.py")), ids=lambda path: path.stem)
def test_every_formula_of_the_notebooks_is_known(path):
    texts = [cell.source for cell in jupytext.read(path).cells if cell.cell_type == "markdown"]
    page = "".join(
        re.findall("<math.*?</math>", to_html(new_notebook(cells=list(map(new_markdown_cell, texts)))))
    )
    assert "\\" not in page and page.count("<math") == sum(len(FORMULA.findall(text)) for text in texts)

"""What users name is text in every format: a table of nasty names, read back by a reader of each format."""

import csv
import json
import re
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from made_up import made_results
from nbconvert.filters import markdown2html
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from test_model_card import made

from advunlearn_lib.base.markdown import plain
from advunlearn_lib.experiment.card import Evaluation, write_card
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.profiles.load import parse_checkpoint
from advunlearn_lib.report import Item, Run, claims, plots, tables
from advunlearn_lib.report.page import to_html

NAMES = (
    "a|b", "two\nlines", "<script>alert(1)</script>", "$x_1$", "{{x}} {% raw %}", "`rm`", "![a](b)",
    "R&amp;D", r"back\|slash\\", "$\\frac{$", "[5] # 100 %", "*b* ~c~ ^d_e", "&", "a & b \\\\",
)  # fmt: skip
ONE = Estimate(value=1, low=0, high=2, n=60)


def results():
    """Table 3, a row a name: as the concept, the method and the variant."""
    first = made_results()[0]
    return [
        first.model_copy(update={"concept": name, "here": "", "method": name, "variant": f"v {name}"})
        for name in NAMES
    ]


def table():
    return tables.layout(results(), "judge-object", dict.fromkeys((one.row for one in results()), ONE))


class Reader(HTMLParser):
    """The rows of an HTML table, and every tag that was met."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.tags, self.inside = [], set(), False
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.inside = True

    def handle_endtag(self, tag):
        self.inside &= tag not in ("td", "th")

    def handle_data(self, data):
        if self.inside:
            self.rows[-1][-1] += data


def line(name):
    """A name in one line, as a table shows it."""
    return " ".join(name.split())


def expected(code="`"):
    return [[line(name).replace("`", code)] * 2 + [f"v {line(name)}".replace("`", code)] for name in NAMES]


TABLE = {"table", "thead", "tbody", "tr", "th", "td"}


def test_html():
    page = tables.styled(results(), "judge-object", {}, {})
    reader = Reader(page)
    assert reader.tags == TABLE | {"small"}
    assert [[line(cell) for cell in row[:3]] for row in reader.rows[1:]] == expected()
    assert all(row[3] == "100.0 | 100.0 [94.0, 100.0]" for row in reader.rows[1:])
    assert 'class="dataframe tex2jax_ignore"' in page  # no formulas


def test_html_where_names_are_columns():
    several = [one.model_copy(update={"table": "9"}) for one in results()]
    reader = Reader(tables.styled(several, "judge-object", {}, {}))
    assert reader.tags <= TABLE | {"small", "b"}
    assert [line(cell) for cell in reader.rows[0] if cell not in ("DM", "Variant")] == list(map(line, NAMES))


def test_markdown_as_notebooks_and_their_pages_render_it(tmp_path):
    tables.write(results(), table(), tmp_path, "table3", "profile <b>, a|b\nseed `0`")
    text = (tmp_path / "table3.md").read_text()
    body, _, stamp = text.rstrip().rpartition("\n\n")
    assert len(body.splitlines()) == len(NAMES) + 2 and stamp == "profile &lt;b>, a\\|b seed '0'"
    reader = Reader(markdown2html(text))
    assert reader.tags == TABLE | {"p"}
    assert [row[:3] for row in reader.rows[1:]] == expected("'")
    assert all(len(row) == 5 and row[4] == "100 | 100.0 [94.0, 100.0]" for row in reader.rows[1:])
    across = [one.model_copy(update={"table": "9"}) for one in results()]
    reader = Reader(markdown2html(tables.markdown(tables.layout(across, "judge-object"))))
    assert [cell for cell in reader.rows[0] if cell not in ("DM", "Variant")] == [
        row[0] for row in expected("'")
    ]


TEX = {
    r"\&": "&", r"\%": "%", r"\$": "$", r"\#": "#", r"\_": "_",
    r"\{": "{", r"\}": "}", "{[}": "[", "{*}": "*",
    r"\textasciitilde \space ": "~ ", r"\textasciicircum \space ": "^ ", r"\textbackslash \space ": "\\ ",
    r"\textasciitilde ": "~", r"\textasciicircum ": "^", r"\textbackslash ": "\\",
}  # fmt: skip
TOKEN = re.compile("|".join(map(re.escape, TEX)) + r"|\\\\$| & |[^&%$#_{}~^\\]")


def read_tex(text):
    """Cells of a row; nothing but known escapes and plain letters may stand in it."""
    tokens = TOKEN.findall(text)
    assert "".join(tokens) == text, text
    cells, now = [], ""
    for token in tokens:
        if token in (" & ", "\\\\"):
            cells.append(now.strip())
            now = ""
        else:
            now += TEX.get(token, token)
    return cells


def test_latex(tmp_path):
    tables.write(results(), table(), tmp_path, "table3", "seed 0\n\\input{x}")
    head, _, body = (tmp_path / "table3.tex").read_text().partition("\n")
    assert head == r"% seed 0 \input{x}"  # still a comment
    lines = body.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
    assert [read_tex(one)[:3] for one in lines] == expected()
    assert not any(one.startswith(("[", "*")) for one in lines)


def test_files_for_machines_keep_names_as_they_are(tmp_path):
    tables.write(results(), table(), tmp_path, "table3", "seed 0")
    with (tmp_path / "table3.csv").open(newline="") as file:
        assert [row["method"] for row in csv.DictReader(file)] == list(NAMES)
    assert [cell["concept"] for cell in json.loads((tmp_path / "table3.json").read_text())["cells"]] == list(
        NAMES
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_card(tmp_path, name):
    asr = {"ASR (%)": ONE}
    write_card(tmp_path, made(base=name, concept=[name, name], method=name), Evaluation(asr, {"judge": name}))
    card = (tmp_path / "README.md").read_text()
    text = re.sub(r"```\w*\n.*?\n```$", "", card.split("---\n", 2)[2], flags=re.S | re.M)
    page = markdown2html(text)
    assert Reader(page).tags <= {
        "h1",
        "h2",
        "p",
        "em",
        "code",
        "ul",
        "li",
        "a",
    }  # a: the headings' own anchors
    assert not re.search(r'href="(?!#)', page) and page.count("<h1") == 1 and page.count("<h2") == 2
    shown = line(name).replace("`", "'")
    heads = [one for one in card.splitlines() if one.startswith("# ")]
    assert heads == [f"# {plain(name)} erased from {plain(name)}"]
    said = re.sub("<[^>]*>", "", page)
    assert f"judge: {shown}" in HTMLParserText(said).text


class HTMLParserText(HTMLParser):
    """The text of a page."""

    def __init__(self, page):
        super().__init__()
        self.text = ""
        self.feed(page)

    def handle_data(self, data):
        self.text += data


def test_a_folder_in_another_script_is_loaded_by_its_name():
    lines = made(base="ünï 😀/モデル").loading_lines("ordner 😀")
    names = re.findall(r'"([^"]*)"', lines)
    assert names == ["ünï 😀/モデル", "ordner 😀"]


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    file = tmp_path / "<b>|`x`.safetensors"
    file.touch()
    return Run(overrides=[f"checkpoint=nudity:ESD:UNet={file}"], out=tmp_path / "out")


def test_what_an_item_says_of_its_setting(run, monkeypatch):
    item = Item("table3", run)
    concept = run.profile.concepts["nudity"].model_copy(update={"name": "*<b>*\n\n# x"})
    profile = run.profile.model_copy(update={"concepts": {"nudity": concept}})
    monkeypatch.setattr(run, "profile", profile)
    page = markdown2html(item.setting())
    assert Reader(page).tags <= {"p", "strong", "em"} and "&lt;b" in page


def test_claims_and_pages_of_ones_own_have_a_plain_stamp(run, tmp_path):
    claims.write(claims.judge(made_results()), tmp_path, "<b>\n# x")
    assert "&lt;b> # x\n" in (tmp_path / "claims.md").read_text()
    run.stamp = "<b>\n# x"
    run.write("mine", pd.DataFrame({"a|b": ["<i>"]}))
    assert (tmp_path / "out" / "mine.md").read_text().endswith("\n\n&lt;b> # x\n")
    assert Reader(markdown2html((tmp_path / "out" / "mine.md").read_text())).rows == [["a|b"], ["<i>"]]


def test_figures_draw_names_letter_by_letter(tmp_path):
    """A dollar sign began a formula, and a broken one was a traceback."""
    figure = plots.dots(results(), "judge-object", "$\\frac{$ and <b>")
    plots.save(figure, tmp_path / "dots.png", "seed $\\frac{$")
    labels = [one.get_text() for one in figure.axes[0].get_yticklabels()]
    assert [label.split(" · ")[0] for label in labels] == list(NAMES)
    plt.close(figure)


def test_a_pages_title_and_pictures_words():
    heading = '<script>alert(1)</script> "a" {{ x }}'
    pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII="
    picture = new_output("display_data", {"image/png": pixel})
    text = new_output("display_data", {"text/markdown": plain(heading)})
    cells = [new_markdown_cell(f"# {plain(heading)}"), new_code_cell("1", outputs=[picture, text])]
    page = to_html(new_notebook(cells=cells))
    assert "<script" not in page and "alert(1)" in page


@pytest.mark.parametrize("name", [name for name in NAMES if ":" not in name])
def test_a_checkpoints_row_keeps_its_name(name):
    (key,) = parse_checkpoint(f"{name}:{name}:UNet=FILE.pt")
    assert key == (name, name, "UNet")

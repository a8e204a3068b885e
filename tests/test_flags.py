"""docs/flags.md lists every flag that the code raises, and no other."""

import ast
import re

from advunlearn_lib.base.paths import ROOT

PACKAGE = ROOT / "advunlearn_lib"
LISTED = set(re.findall(r"^\| `([^`]+)` \| by ", (ROOT / "docs" / "flags.md").read_text(), re.M))


def text(node):
    """A literal's text, of one with values in it the part before the first; None of anything else."""
    node = node.values[0] if isinstance(node, ast.JoinedStr) else node
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def raised(file):
    """The texts in sets, those added to sets and lists named ``flags``, and what follows "warning: "."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Set) and file.parent.name == "attacks":
            found += node.elts
        adds = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        if adds and node.func.attr in ("add", "append") and ast.unparse(node.func.value) == "flags":
            found += node.args
        if (said := text(node) if isinstance(node, ast.JoinedStr) else None) and said.startswith("warning: "):
            found.append(ast.Constant(said.removeprefix("warning: ")))
    return {said.partition("(")[0].strip() for said in map(text, found) if said}


def test_the_page_lists_every_flag_and_no_other():
    told = set().union(*(raised(file) for file in PACKAGE.rglob("*.py")))
    assert len(told) >= 7 and told == LISTED

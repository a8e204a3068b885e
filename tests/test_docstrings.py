"""A docstring's first line is a whole sentence: editors and `help` show it alone."""

import ast

from advunlearn_lib.base.paths import ROOT

DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def broken(source: str) -> list[int]:
    """The lines of docstrings whose first line stops within a sentence, or begins in the middle of one."""
    found = []
    for node in ast.walk(ast.parse(source)):
        text = ast.get_docstring(node) if isinstance(node, DOCUMENTED) else None
        if text is None:
            continue
        first, *rest = text.split("\n")
        if first.startswith("...") or not first.endswith((".", "?")) or (rest and rest[0]):
            found.append(node.body[0].lineno)
    return found


def test_a_first_line_is_one_whole_sentence():
    files = [
        file
        for name in ("advunlearn_lib", "benchmarks", "tests", "tools")
        for file in (ROOT / name).rglob("*.py")
    ]
    lines = [
        f"{file.relative_to(ROOT)}:{line}" for file in sorted(files) for line in broken(file.read_text())
    ]
    assert len(files) > 200 and lines == []


def test_what_counts_as_broken():
    assert broken('"""A sentence.\n\nMore of it.\n"""') == [] == broken('def f():\n    """Is it?"""')
    assert broken('class A:\n    """A sentence that\n    goes on.\n    """') == [2]
    assert broken('"""A sentence. Another,\nof two lines."""') == broken('"""... and a rest."""') == [1]

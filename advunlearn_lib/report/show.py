"""What ``item.show()`` shows in a notebook: numbers, what they say about the claims, pictures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pandas as pd
from IPython.display import HTML, Markdown, display
from matplotlib.figure import Figure

from advunlearn_lib.experiment.cells import BASE
from advunlearn_lib.report import claims, panels, plots, tables
from advunlearn_lib.report.item import Results
from advunlearn_lib.report.items import has_numbers
from advunlearn_lib.report.prompts import panels_of
from advunlearn_lib.report.reported import Result

AXES = {"figure8": "first N text encoder layers trained", "figureA3": "retain weight gamma"}
READ = (
    "*the paper | here [95 % interval]*: Wilson's interval of success rates, a bootstrap over pictures of "
    "FID and CLIP score. **Bold**: the best of the erased models. ✓: the claim of this number holds here; ✗: "
    "it fails; ?: undecided."
)


class Item(Results):
    """One table or figure of the paper, as a notebook has it; an unknown name is a :class:`UserError`."""

    def show(self) -> None:
        """Compute and show all of it: numbers against the paper's, pictures, claims; keep its files."""
        say(self.setting())
        if has_numbers(self.name):
            show_numbers(self)
        show_pictures(self)
        if self.results and (verdicts := self.verdicts()):
            say(f"## What holds here\n\n{claims.RULE}\n\n{verdicts}\n\n{self.explanations()}")


def say(text: str) -> None:
    """Markdown."""
    display(Markdown(text))


def show_numbers(item: Results) -> None:
    """The table, and what it says as a figure."""
    item.table()
    judged, features = item.claims(), item.profile.fid_features
    say(f"## The numbers\n\n{READ}")
    marks = claims.marks(judged)
    display(HTML(tables.styled(item.results, features, item.pre_asr(), marks)))
    if item.name not in AXES:
        title = f"{heading(item.name)}{verdict(judged)}\n{item.stamp}"
        item.save(plots.dots(item.results, features, title), "-dots")
    if figure := own_figure(item):
        item.save(figure)


def own_figure(item: Results) -> Figure | None:
    """The paper's figure of the item's numbers, if it is one."""
    if item.name == "figure2":
        title = f"{standing(item.results)}\n{item.name}, {item.stamp}"
        return plots.scatter(item.results, item.profile.fid_features, title)
    if item.name not in AXES:
        return None
    labels, axis = item.variant_labels(), AXES[item.name]
    title = f"{trend(item.results, labels)}\n{item.name}, {item.stamp}"
    return plots.bars_and_line(item.results, labels, axis, title)


def show_pictures(item: Results) -> None:
    """The item's panels, each with what its prompts are here."""
    for number, chosen in enumerate(panels_of(item.name)):
        if not number:
            item.attacks()
            say("## Pictures")
        rows, prompts = panels.choose(item, chosen)
        if any(prompt.paper != prompt.emoji for prompt in prompts):
            mapping = panels.mapping(item, rows[0].concept, prompts)
            display(HTML(tables.html(mapping)))
        suffix = chosen.suffix or ("-pictures" if item.name in AXES else "")  # beside the paper's own figure
        item.save(panels.panel(item, rows, prompts), suffix)


def heading(name: str) -> str:
    """``table3`` -> ``Table 3``."""
    what = "table" if name.startswith("table") else "figure"
    return f"{what.capitalize()} {name.removeprefix(what)}"


def verdict(judged: pd.DataFrame) -> str:
    """How many of an item's claims hold, for its heading; nothing where the paper claims nothing."""
    if judged.empty:
        return ""
    counts = Counter(judged.verdict)
    said = f"{counts['holds']} of {len(judged)} claims hold, {counts['fails']} fail"
    return f": {said}, {counts['undecided']} stay undecided"


def standing(results: Sequence[Result]) -> str:
    """How the paper's method stands among the other erased models, by their values alone."""
    values = {(one.method, one.metric): one.reproduced for one in results}
    others = [method for method, metric in values if metric == "asr" and method not in (plots.OURS, BASE)]

    def above(metric: str) -> int:
        return sum(values[method, metric] > values[plots.OURS, metric] for method in others)

    return (
        f"{plots.OURS} has a lower ASR than {above('asr')}, and a lower FID than {above('fid')}, "
        f"of {len(others)} other methods"
    )


def trend(results: Sequence[Result], labels: dict[str, str]) -> str:
    """From the first variant to the last: ASR and CLIP score."""
    said = []
    for metric, name, digits in (("asr", "ASR", 1), ("clip", "CLIP score", 3)):
        first, *_, last = [one for one in results if one.metric == metric]
        said.append(f"{name} {first.reproduced:.{digits}f} -> {last.reproduced:.{digits}f}")
    return f"From {labels[first.variant]} to {labels[last.variant]}: {', '.join(said)}"

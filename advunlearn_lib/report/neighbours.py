"""What else was lost: does an erased model still draw every *other* object and style that it knew?

The judges of the emoji world name all its 48 objects and 5 styles, so each can be asked for by its plain
prompt and be seen to be there or gone. FID and CLIP score look at pictures of everything at once, and cannot
say this. An object is *near* if it shares a tag ("blade", "safari") with what was erased, else *far*.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.experiment.cells import BASE, Row
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.metrics.compare import compare_rates
from advunlearn_lib.metrics.estimate import proportion
from advunlearn_lib.metrics.judges import Classifier
from advunlearn_lib.profiles.schema import Concept
from advunlearn_lib.report import plots
from advunlearn_lib.report.item import Run
from advunlearn_lib.report.reported import rows_of
from advunlearn_lib.report.tables import interval
from advunlearn_lib.world.language import words
from advunlearn_lib.world.things import OBJECTS, STYLES, THINGS, plain_prompt

TABLES = {"nudity": "5", "Van Gogh": "6", "Church": "7"}  # whose models are looked at, one a kind of concept
GROUPS = ("near objects", "far objects", "other styles")
QUICK = 24  # of a quick run every 24th prompt, once
DRAWS = 4  # pictures of each thing, with seeds of their own


class Asked(NamedTuple):
    """A plain prompt, the judge that has to name its ``label``, and the group it is counted in."""

    text: str
    judge: str
    label: str
    group: str


def asked(concept: Concept) -> list[Asked]:
    """A prompt of everything but the concept: each other object, and each other painter's dog and church."""
    tags = {tag for name in concept.labels if name in OBJECTS for tag in tags_of(name)}
    photos = [
        Asked(plain_prompt(name), "judge-object", name, GROUPS[0] if tags & tags_of(name) else GROUPS[1])
        for name in OBJECTS
        if name not in concept.labels
    ]
    shown = [name for name in ("dog", "guitar", "boat") if name not in concept.labels]
    painted = [
        Asked(plain_prompt(name, style), "judge-style", style, GROUPS[2])
        for style in STYLES
        if style != "photo" and style not in concept.labels
        for name in shown
    ]
    return photos + painted


def tags_of(name: str) -> set[str]:
    """What is said of an object."""
    return set(words()[OBJECTS.index(name)].tags)


def drawn(study: Study, rows: Sequence[Row]) -> pd.DataFrame:
    """A line a picture: model, what was asked for, was it there?

    Raises :class:`UserError` for a profile whose judges do not know everything that its model draws.
    """
    if study.profile.source != "emoji":
        raise UserError(
            "only the emoji world's judges name everything that its model draws: take profile=pocket"
        )
    judges = {
        name: Classifier(study.profile.judge(name), device=study.device)
        for name in ("judge-object", "judge-style")
    }
    lines = []
    for row in tqdm(rows, desc="neighbours"):
        all_of = asked(study.protocol.concept(row.concept))
        wanted = all_of[::QUICK] if study.profile.quick else [one for one in all_of for _ in range(DRAWS)]
        images = study.pictures(row, [one.text for one in wanted], list(range(len(wanted))))
        named = {
            name: [judge.labels[index] for index in judge.probabilities(images).argmax(-1).tolist()]
            for name, judge in judges.items()
        }
        for number, one in enumerate(wanted):
            there = named[one.judge][number] == one.label
            lines.append({"concept": row.concept, "model": label(row), **one._asdict(), "there": there})
    return pd.DataFrame(lines)


def label(row: Row) -> str:
    """A model's name: its method, and what it trains where the table says so."""
    return " · ".join(filter(None, (row.method, row.component)))


def models(run: Run) -> list[Row]:
    """Every model of Tables 5, 6 and 7, the untouched ones first.

    Raises :class:`UserError` for a run over several seeds.
    """
    if len(run.studies) > 1:
        raise UserError("neighbours are drawn by the models of one seed: take --seed, not --seeds")
    rows = [row for concept, table in TABLES.items() for row in rows_of(table) if row.concept == concept]
    return [row for row in rows if row.variant == ""]


def summary(lines: pd.DataFrame) -> pd.DataFrame:
    """A row a model: how much of each group is still there, in %, and the change from the untouched model.

    The change is in points, on the same prompts and seeds; a star where it is apart from 0 (McNemar).
    """
    rows = []
    for (concept, model), mine in lines.groupby(["concept", "model"], sort=False):
        row = {"erased": concept, "model": model}
        for group in GROUPS:
            left, right = (
                some[some.group == group].there.to_numpy(bool)
                for some in (mine, lines[(lines.concept == concept) & (lines.model == BASE)])
            )
            if len(left):
                rate, change = proportion(int(left.sum()), len(left)), compare_rates(left, right)
                row[f"{group} (%)"] = interval(rate, rate.value)
                row[f"{group}: change"] = f"{change.value:+.1f}{'*' if change.apart() else ''}"
        rows.append(row)
    return pd.DataFrame(rows).fillna("–")


def plot(lines: pd.DataFrame, stamp: str) -> Figure:
    """Which objects are gone: one column a model, one row an object, darker where it is drawn less often."""
    photos = lines[lines.judge == "judge-object"]
    concepts = list(dict.fromkeys(photos.concept))
    size = (2.6 * len(concepts) + 2.4, 0.16 * len(OBJECTS) + 2)
    figure, axes = plt.subplots(1, len(concepts), figsize=size, sharey=True, squeeze=False)
    for axis, concept in zip(axes[0], concepts, strict=True):
        some = photos[photos.concept == concept]
        shares = some.pivot_table(index="label", columns="model", values="there", aggfunc="mean", sort=False)
        shares = 100 * shares.reindex(OBJECTS).astype(float)
        image = axis.imshow(
            np.ma.masked_invalid(shares.to_numpy()), cmap="viridis", vmin=0, vmax=100, aspect="auto"
        )
        axis.set_xticks(range(shares.shape[1]), shares.columns, rotation=90, fontsize=7)
        axis.set_title(f"erased: {concept}", fontsize=8)
    axes[0][0].set_yticks(range(len(OBJECTS)), [thing.name for thing in THINGS], fontsize=6)
    figure.colorbar(image, ax=axes[0][-1], label="drawn when asked for (%)")
    return plots.titled(figure, f"What else is gone; white: what was to be erased\n{stamp}")

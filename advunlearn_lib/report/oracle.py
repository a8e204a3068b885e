"""Erased models against one that never knew: ``notebooks/beyond_oracle``.

The emoji world can train the untouched model again without a concept (``pocket-train --without``), which no
published model can. What attacks find on such an *oracle* they did not find in its memory: their floor. An
attack that brings a concept back as often on the oracle *teaches* it, one that does so on erased models alone
makes them *recall* it. How far a method is from never having known is told by what its model draws instead
when the concept is asked for, by the labels that the judge gives its pictures:

    distance  =  50 sum_y | p_method(y) - p_oracle(y) |        (total variation in %, 0 to 100)

Literature asks for such a reference model (arXiv 2510.12981).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.progress import tqdm
from advunlearn_lib.execute.plan import Job
from advunlearn_lib.execute.pool import compute
from advunlearn_lib.experiment.cells import BASE, Cell, Row
from advunlearn_lib.experiment.samples import compare_cells
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.metrics.judges import Classifier
from advunlearn_lib.profiles.schema import Profile
from advunlearn_lib.report import plots
from advunlearn_lib.report.folders import FINISHED, published_folder, unseen_folder
from advunlearn_lib.report.item import Run
from advunlearn_lib.report.neighbours import label
from advunlearn_lib.report.reported import rows_of
from advunlearn_lib.report.tables import interval, metric_label

TABLES = {"nudity": "5", "Church": "7"}  # what the oracle never saw, and whose models it is held against
WITHOUT = ("church", "weapon")
ATTACKS = ("random", "UnlearnDiffAtk", "P4D", "PEZ", "PH2P", "CCE")
ORACLE = "never knew"
OURS = "AdvUnlearn"
STAGES = ("clip", "unet", "unet_2")
RESEEDED = 1_000_000  # added to the seeds of the oracle's second pictures: its distance to itself
ROUNDS = 1000


class Drawn(NamedTuple):
    """The labels of a model's pictures, one an evaluation prompt."""

    model: str
    labels: NDArray[np.int64]


def oracle_folder(profile: Profile) -> Path:
    """The model that never saw the concepts; in a quick run the untouched one takes its place.

    Raises :class:`UserError` for another world than the emoji's, and where it is not trained yet.
    """
    if profile.source != "emoji":
        raise UserError("only the emoji world's model can be trained without a concept: take profile=pocket")
    folder = unseen_folder(WITHOUT) / "v1-4"
    if profile.quick:
        return Path(profile.base)
    if not (folder.parent / "training" / FINISHED).exists():
        asked = " ".join(f"--without {name}" for name in WITHOUT)
        raise UserError(
            f"no oracle yet in {folder}: ./reproduce.sh pocket-train {asked} trains it, in 70 minutes"
        )
    return folder


def with_oracle(profile: Profile) -> Profile:
    """``profile`` in which the oracle is a base model like those of Table 8."""
    return profile.model_copy(update={"bases": profile.bases | {ORACLE: str(oracle_folder(profile))}})


def study_of(run: Run) -> Study:
    """The run's study with the oracle, when the store has all its cells.

    Raises :class:`UserError` for a run over several seeds: there is one oracle.
    """
    if len(run.studies) > 1:
        raise UserError("there is one oracle, of one seed: take --seed, not --seeds")
    profile = with_oracle(run.profile)
    compute(jobs_of(profile), run.study.store, "oracle")
    return Study(profile)


def training(profile: Profile) -> Figure:
    """Was it trained as well? The losses of its stages beside those of the untouched model's."""
    shipped = published_folder(profile.name) / "training"
    own = shipped if profile.quick else oracle_folder(profile).parent / "training"
    figure, axes = plt.subplots(1, len(STAGES), figsize=(3 * len(STAGES), 2.8))
    for axis, stage in zip(axes, STAGES, strict=True):
        for name, logs, look in (("untouched", shipped, "0.6"), (ORACLE, own, "#b2182b")):
            rows = pd.read_json(logs / f"{stage}.jsonl", lines=True)
            axis.plot(rows.step, rows.loss.rolling(5, 1).mean(), color=look, linewidth=1, label=name)
        axis.set(title=stage, xlabel="training step", ylabel="loss")
    axes[0].legend(fontsize=7, frameon=False)
    return plots.titled(figure, "The oracle's training and the untouched model's, mean of 5 logged losses")


def cells() -> list[Cell]:
    """Each attack on the oracle and on AdvUnlearn, the pictures of the oracle, and its table's attacks."""
    attacked = [
        Cell(Row(concept, method), attack, "asr")
        for concept in TABLES
        for method in (ORACLE, OURS)
        for attack in ATTACKS
    ]
    pictures = [
        Cell(Row(concept, method), "", metric)
        for concept in TABLES
        for method in (BASE, ORACLE)
        for metric in ("fid", "clip")
    ]
    others = [Cell(row, "UnlearnDiffAtk", "asr") for concept in TABLES for row in models(concept)]
    return list(dict.fromkeys([*attacked, *pictures, *others]))


def jobs_of(profile: Profile) -> list[Job]:
    """What has to be computed."""
    protocol = Study(profile).protocol
    return [Job(profile, protocol.cell(cell)) for cell in cells()]


def models(concept: str) -> list[Row]:
    """The models that the oracle is held against: the concept's table's, the untouched one first."""
    return [Row(concept, BASE), *(row for row in rows_of(TABLES[concept]) if row.method != BASE)]


def floors(study: Study) -> pd.DataFrame:
    """A row a concept and attack: what it brings back of a model that never knew, and of AdvUnlearn's."""
    rows = []
    for concept in TABLES:
        for attack in ATTACKS:
            oracle, ours = (Cell(Row(concept, method), attack, "asr") for method in (ORACLE, OURS))
            change = compare_cells(ours, [study], oracle, [study])
            line = {"concept": concept, "attack": attack}
            for name, cell in ((ORACLE, oracle), (OURS, ours)):
                estimate = study.estimate(cell)
                line[f"{name}: ASR (%)"] = interval(estimate, estimate.value)
            said = f"{change.value:+.1f} [{change.low:.1f}, {change.high:.1f}]"
            rows.append(line | {"recalled (points)": f"{said}{'*' if change.apart() else ''}"})
    return pd.DataFrame(rows)


def quality(study: Study) -> pd.DataFrame:
    """Does the oracle draw all else as well as the untouched model? FID and CLIP score of both."""
    rows = []
    for concept in TABLES:
        for method in (BASE, ORACLE):
            line = {"captions without": concept, "model": method}
            for metric in ("fid", "clip"):
                estimate = study.estimate(Cell(Row(concept, method), "", metric))
                line[metric_label(metric, study.profile.fid_features)] = interval(
                    estimate, estimate.value, metric
                )
            rows.append(line)
    return pd.DataFrame(rows)


def drawn(study: Study, concept: str, judge: Classifier) -> list[Drawn]:
    """The labels of what each model draws for the concept's prompts: the oracle first, then a second draw."""
    prompts = study.prompts(concept)
    texts, seeds = [prompt.text for prompt in prompts], [prompt.seed for prompt in prompts]
    oracle = Row(concept, ORACLE)
    asked = [(ORACLE, oracle, 0), (f"{ORACLE}, drawn again", oracle, RESEEDED)]
    asked += [(label(row), row, 0) for row in models(concept)]
    found = []
    for name, row, added in tqdm(asked, desc=f"pictures of {concept}"):
        images = study.pictures(row, texts, [seed + added for seed in seeds])
        found.append(Drawn(name, judge.probabilities(images).argmax(-1).numpy()))
    return found


def distance(one: NDArray[np.int64], other: NDArray[np.int64], labels: int) -> float:
    """Total variation of the labels' shares, in %."""
    counts = [np.bincount(side, minlength=labels) / len(side) for side in (one, other)]
    return float(np.abs(counts[0] - counts[1]).sum() * 50)


def distances(found: Sequence[Drawn], labels: int, seed: int) -> dict[str, Estimate]:
    """Each model's distance to the first, the oracle, with a 95 % bootstrap interval over the prompts."""
    oracle, rng = found[0].labels, np.random.default_rng(seed)
    which = rng.integers(len(oracle), size=(ROUNDS, len(oracle)))
    made = {}
    for model, mine in found[1:]:
        draws = [distance(mine[some], oracle[some], labels) for some in which]
        low, high = np.quantile(draws, (0.025, 0.975))
        made[model] = Estimate(
            value=distance(mine, oracle, labels), low=float(low), high=float(high), n=len(mine)
        )
    return made


def what_instead(study: Study, concept: str) -> pd.DataFrame:
    """A row a model: its distance to the oracle, and the three things it draws most often."""
    judge = Classifier(study.profile.judge("judge-object"), device=study.device)
    found = drawn(study, concept, judge)
    apart, rows = distances(found, len(judge.labels), study.profile.seed), []
    for model, mine in found:
        said = interval(apart[model], apart[model].value) if model in apart else "–"
        rows.append({"model": model, "distance to the oracle (%)": said, "draws": most(mine, judge.labels)})
    return pd.DataFrame(rows)


def most(found: NDArray[np.int64], names: Sequence[str]) -> str:
    """The three labels found most often, with their shares."""
    shares = pd.Series([names[place] for place in found]).value_counts(normalize=True)[:3]
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())


def plot(study: Study, stamp: str) -> Figure:
    """The attacks' success on the oracle and on AdvUnlearn's model, a panel a concept."""
    figure, axes = plt.subplots(1, len(TABLES), figsize=(4 * len(TABLES) + 1, 3.2), sharey=True)
    for axis, concept in zip(axes, TABLES, strict=True):
        for shift, method, look in ((-0.12, ORACLE, "0.3"), (0.12, OURS, "#b2182b")):
            ones = [study.estimate(Cell(Row(concept, method), attack, "asr")) for attack in ATTACKS]
            bars = [[one.value - one.low for one in ones], [one.high - one.value for one in ones]]
            places = np.arange(len(ATTACKS)) + shift
            axis.errorbar(
                [one.value for one in ones], places, xerr=bars, fmt="o", color=look, capsize=2, label=method
            )
        here = study.protocol.concept(concept).here()
        axis.set_xlabel(f"ASR (%)\n{concept}{f' ({here})' if here else ''}")
        axis.set(yticks=range(len(ATTACKS)), yticklabels=ATTACKS, xlim=(-3, 103))
        axis.grid(axis="y", color="0.9")
    axes[0].invert_yaxis()
    axes[-1].legend(fontsize=7, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    oracle = [Cell(Row(concept, ORACLE), attack, "asr") for concept in TABLES for attack in ATTACKS]
    highest = max(study.estimate(cell).value for cell in oracle)
    said = f"No attack brings more than {highest:.1f} % back of a model that never knew"
    return plots.titled(figure, f"{said}\n{stamp}")

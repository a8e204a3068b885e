"""What a notebook does with one item of the paper: compute its cells, show them, judge its claims, save."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from advunlearn_lib.base import progress
from advunlearn_lib.base.errors import UserError, choose
from advunlearn_lib.base.files import atomic
from advunlearn_lib.base.markdown import plain
from advunlearn_lib.base.provenance import commit
from advunlearn_lib.execute.pool import compute
from advunlearn_lib.experiment.attack_spec import AttackSpec
from advunlearn_lib.experiment.cells import BASE, Cell, Row
from advunlearn_lib.experiment.study import Study
from advunlearn_lib.metrics.estimate import Estimate
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.profiles.schema import Profile
from advunlearn_lib.report import claims, plots, tables
from advunlearn_lib.report.folders import results_folder
from advunlearn_lib.report.items import FIGURES, ITEMS, TABLES, has_numbers
from advunlearn_lib.report.reported import Result, jobs_of, mean_of, numbers_of, reported, reproduce, rows_of

LONGEST = 150  # lines of a table that is also a page


class Run:
    """A profile with what the user changed, its seeds, and where results go.

    The arguments are a notebook's parameters.

    ``seeds`` repeats everything over so many seeds, from
    ``seed`` on. One override alone may be a text. Raises :class:`UserError` for bad parameters.
    """

    def __init__(
        self,
        profile: str = "pocket",
        overrides: Sequence[str] | str = (),
        quick: bool = False,
        seed: int | None = None,
        seeds: int = 1,
        out: str | Path = "",
    ) -> None:
        if isinstance(overrides, str):
            overrides = [overrides] if overrides else []
        if seeds < 1:
            raise UserError(f"seeds must be at least 1, not {seeds}")
        self.profile = load_profile(profile, overrides, quick, seed)
        first = self.profile.seed
        self.profiles = [self.profile.model_copy(update={"seed": first + number}) for number in range(seeds)]
        self.studies = [Study(one) for one in self.profiles]
        self.study = self.studies[0]
        self.folder = Path(out) if out else results_folder(profile, quick, overrides, seed, seeds)
        shown = [
            profile,
            *map(short, overrides),
            *self.faithfulness(overrides),
            f"seed {first}" if seeds == 1 else f"seed {first}..{first + seeds - 1}",
        ]
        self.stamp = f"profile {', '.join(shown)}, commit {commit()}"
        if self.profile.tier == "preview":
            self.stamp = f"PREVIEW, a quarter of each attack; {self.stamp}"
        if quick:
            self.stamp = f"QUICK RUN, numbers mean nothing; {self.stamp}"

    def faithfulness(self, overrides: Sequence[str]) -> list[str]:
        """What the stamp of numbers to be compared with the published says, unless an override does."""
        told = any(override.startswith("faithful=") for override in overrides)
        return [] if told or self.profile.source != "official" else [f"faithful={self.profile.faithful}"]

    def write(self, name: str, table: pd.DataFrame) -> None:
        """Keep a table that is no item's: ``<name>.csv``, and one that is not too long to read as ``.md``."""
        texts = {"csv": table.to_csv(index=False)}
        if len(table) <= LONGEST:
            texts["md"] = tables.page(table, self.stamp)
        for suffix, text in texts.items():
            with atomic(self.folder / f"{name}.{suffix}") as temporary:
                temporary.write_text(text)

    def save(self, name: str, figure: Figure) -> None:
        """Show a figure and keep it: ``<name>.png`` and ``.pdf``, stamped."""
        path = self.folder / f"{name}.png"
        plots.save(figure, path, self.stamp)
        display(plots.shown(figure, path.name))


def short(override: str) -> str:
    """An override as a stamp shows it: of a path on this machine the last part alone."""
    name, _, value = override.partition("=")
    return f"{name}={Path(value).name}" if Path(value).exists() else override


def flags_of(study: Study, cell: Cell) -> list[str]:
    """What an attack says against itself; a random attack counts where one was run."""
    result = study.attack(cell.row, cell.attack)
    flags, missed = list(result.flags), sum(not prompt.before for prompt in result.prompts)
    if cell.row.method == BASE and missed:
        flags.append(f"the base model does not show the concept ({missed} of {len(result.prompts)} prompts)")
    luck = cell._replace(attack="random")
    if study.record(study.protocol.cell(luck)) is not None:
        ours, random = (study.estimate(one).value for one in (cell, luck))
        if random > ours:
            flags.append(f"random tokens do better ({random:.1f} against {ours:.1f} %)")
    return flags


class Results:
    """One table or figure of the paper. Raises :class:`UserError` for an unknown name."""

    def __init__(self, name: str, run: Run) -> None:
        self.name, self.run, self.study = choose("item", name, ITEMS), run, run.study
        self.source = TABLES.get(name) or FIGURES[name]
        self.results: list[Result] = []
        self.stamp, self.folder = run.stamp, run.folder

    @property
    def profile(self) -> Profile:
        """The run's profile, of the first seed."""
        return self.run.profile

    def setting(self) -> str:
        """What stands for what in this profile, as Markdown: concepts, FID's features."""
        names = dict.fromkeys(row.concept for row in self.rows())
        stand_ins = [(name, self.profile.concepts[name].here()) for name in names]
        lines = [
            f"*{plain(name)}* is replaced by *{plain(here)}*, a harmless stand-in."
            for name, here in stand_ins
            if here
        ]
        if has_numbers(self.name) and any(number.cell.metric == "fid" for number in reported(self.source)):
            label = tables.metric_label("fid", self.profile.fid_features)
            comparable = self.profile.fid_features == "inception"
            lines.append(f"{label}: compare it {'with the paper' if comparable else 'down the column only'}.")
        return "\n".join([f"Profile **{self.profile.name}**.", *lines, "", plain(self.stamp)])

    def table(self) -> pd.DataFrame:
        """Compute all cells, write them, and return the table in the paper's layout."""
        self.results = reproduce(self.run.studies, self.source)
        self.pretty = tables.layout(self.results, self.profile.fid_features, self.pre_asr())
        if self.name in TABLES:
            tables.write(self.results, self.pretty, self.folder, self.name, self.stamp)
        return self.pretty

    def attacks(self) -> None:
        """Compute what the item's pictures need: the models and the attacks on them."""
        jobs = [job for job in jobs_of([self.study], self.source) if isinstance(job.spec, AttackSpec)]
        compute(jobs, self.study.store, self.name)

    def rows(self) -> list[Row]:
        """The models of the item, in the paper's order."""
        return rows_of(self.source)

    def attacked_cells(self) -> list[Cell]:
        """The item's cells of success rates, each once."""
        cells = (number.cell for number in numbers_of(self.profile, self.source))
        return list(dict.fromkeys(cell for cell in cells if cell.metric == "asr"))

    def pre_asr(self) -> dict[Row, Estimate]:
        """Success without attack of each model, over all seeds; the paper's tables do not have it."""
        cells = [cell._replace(metric="pre_asr") for cell in self.attacked_cells()]
        return {cell.row: mean_of([study.estimate(cell) for study in self.run.studies]) for cell in cells}

    def flags(self) -> list[str]:
        """What the attacks say against themselves, a line each, of every seed."""
        studies, cells = self.run.studies, self.attacked_cells()
        return [
            f"{' '.join(filter(None, cell.row))}, {cell.attack}"
            f"{f', seed {study.profile.seed}' if len(studies) > 1 else ''}: {flag}"
            for study in studies
            for cell in cells
            for flag in flags_of(study, cell)
        ]

    def variant_labels(self) -> dict[str, str]:
        """What stands under each of the table's variants on an axis."""
        return {row.variant: self.study.protocol.variant(row).label or row.variant for row in self.rows()}

    def claims(self) -> pd.DataFrame:
        """The verdicts on the paper's claims about these cells."""
        return claims.judge(self.results, self.run.studies)

    def verdicts(self) -> str:
        """The same as Markdown, to read; nothing where the paper claims nothing."""
        judged = self.claims()
        return "" if judged.empty else claims.markdown(judged)

    def explanations(self) -> str:
        """What was found to explain the published results of this profile, as Markdown."""
        return claims.explanations(self.profile, self.name)

    def save(self, figure: Figure, suffix: str = "") -> None:
        """Show the item's picture and keep it: ``<name><suffix>.png`` and ``.pdf``."""
        self.run.save(f"{self.name}{suffix}", figure)

    def label(self, row: Row) -> str:
        """What tells a model from the item's others: ``ESD · UNet``."""
        rows = [one for one in self.rows() if one.method != BASE]
        varying = [name for name in Row._fields if len({getattr(one, name) for one in rows}) > 1]
        return " · ".join(filter(None, (getattr(row, name) for name in varying)))

    def outcomes(self) -> pd.DataFrame:
        """A line a prompt of each attack, of the first seed.

        model, concept, attack, what :class:`~advunlearn_lib.attacks.records.PromptResult` has, and
        ``rounds``, the most it could have.
        """
        return pd.DataFrame([
            {
                "model": self.label(cell.row),
                "concept": cell.row.concept,
                "attack": cell.attack,
                **one.model_dump(),
                "rounds": self.study.protocol.attack(cell.row, cell.attack).budget.timesteps,
            }
            for cell in self.attacked_cells()
            for one in self.study.attack(cell.row, cell.attack).prompts
        ])  # fmt: skip

    def training(self) -> pd.DataFrame:
        """A line an iteration of each model trained here, of the first seed: its loss and seconds."""
        parts = []
        for row in self.rows():
            spec = self.study.protocol.model(row)
            if spec.erasure is not None and (record := self.study.record(spec)) is not None:
                losses, seconds = record["result"]["losses"], record["result"]["seconds"]
                parts.append(pd.DataFrame({"model": self.label(row), "loss": losses, "seconds": seconds}))
        return pd.concat(parts).rename_axis("iteration").reset_index() if parts else pd.DataFrame()

    def report(self) -> None:
        """Print table, verdicts and where everything is."""
        if self.results:
            table = self.pretty.to_string(index=False)
            print(f"\n{self.name}: reported | reproduced [95 % interval]\n\n{table}\n")
            print(claims.lines(self.claims()))
            print("\n".join(f"warning: {flag}" for flag in self.flags()))
        written = {path.name for path in self.folder.glob(f"{self.name}[.-]*")}
        if progress.STYLE:  # a kernel of ours, whose notebook is kept when it ends
            written |= {f"{self.name}.{suffix}" for suffix in ("html", "ipynb")}
        print(f"{self.stamp}\nwritten to {self.folder}: {', '.join(sorted(written))}")

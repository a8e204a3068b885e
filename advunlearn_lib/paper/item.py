"""What a notebook does with one item of the paper: compute its cells, show them, judge its claims, save."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from advunlearn_lib import plots, profiles
from advunlearn_lib.errors import UserError
from advunlearn_lib.names import FIGURES, TABLES
from advunlearn_lib.paper import cells, claims
from advunlearn_lib.paper.cells import Record, cell_of
from advunlearn_lib.parallel import compute
from advunlearn_lib.recipes import Row
from advunlearn_lib.store import ROOT, commit
from advunlearn_lib.study import Study


class Item:
    """One table or figure under one profile. The arguments are the notebook's parameters."""

    def __init__(
        self, name: str, profile: str = "pocket", overrides: list[str] | None = None, quick: bool = False, seeds: int = 1, out: str = ""
    ) -> None:
        self.name, self.source = name, TABLES.get(name) or FIGURES[name]
        self.settings = profiles.profile(profile, overrides, quick)
        if seeds < 1:
            raise UserError(f"seeds must be at least 1, not {seeds}")
        every = [self.settings.model_copy(update={"seed": self.settings.seed + i}) for i in range(seeds)]
        self.studies = [Study(one) for one in every]
        self.study = self.studies[0]
        self.folder = Path(out) if out else ROOT / "figures" / self.settings.name
        seed = str(self.settings.seed) if seeds == 1 else f"{every[0].seed}..{every[-1].seed}"
        self.stamp = f"profile {self.settings.name}, seed {seed}, commit {commit()}"
        if quick:
            self.stamp = f"QUICK RUN, numbers mean nothing; {self.stamp}"
        self.records: list[Record] = []

    def table(self) -> pd.DataFrame:
        """Compute all cells, write them, and return the table in the paper's layout."""
        self.records = cells.reproduce(self.studies, self.source)
        self.pretty = cells.layout(self.records, self.pre_asr())
        if self.name in TABLES:
            cells.write(self.records, self.pretty, self.folder, self.name, self.stamp)
        return self.pretty

    def attacks(self) -> None:
        """Compute what the item's pictures need: the models and the attacks on them."""
        wanted = [task for task in cells.tasks([self.settings], self.source) if task[1].metric == "asr"]
        compute(wanted, self.study.store, self.name)

    def rows(self) -> list[Row]:
        """The models of the item, in the paper's order."""
        return list(dict.fromkeys(cell_of(record).row for record in cells.reported(self.source)))

    def pre_asr(self) -> dict[Row, str]:
        """Success without attack of each model, as text; the paper's tables do not have it."""
        attacked = {cell_of(record)._replace(metric="pre_asr") for record in cells.reported(self.source) if record["metric"] == "asr"}
        found = {cell.row: self.study.estimate(cell)[0] for cell in attacked}
        return {row: f"{estimate.value:.1f} [{estimate.low:.1f}, {estimate.high:.1f}]" for row, estimate in found.items()}

    def flags(self) -> list[str]:
        """What the attacks say against themselves, a line each; a random attack counts where one was run."""
        lines = []
        for cell in dict.fromkeys(cell_of(record) for record in cells.reported(self.source) if record["metric"] == "asr"):
            flags = list(self.study.attack(cell.row, cell.attack).flags)
            luck = cell._replace(attack="random")
            if self.study.store.read(*self.study.recipes.cell(luck)) is not None:
                ours, random = (self.study.estimate(one)[0].value for one in (cell, luck))
                flags += [f"random tokens do better ({random:.1f} against {ours:.1f} %)"] if random > ours else []
            lines += [f"{' '.join(filter(None, cell.row))}, {cell.attack}: {flag}" for flag in flags]
        return lines

    def claims(self) -> pd.DataFrame:
        """The verdicts on the paper's claims about these cells."""
        return claims.judge(self.records)

    def why(self) -> str:
        """What was found to explain the committed results of this profile, as Markdown."""
        return claims.why(self.settings, self.name)

    def save(self, figure: Figure, suffix: str = "") -> None:
        """Keep the item's picture as ``<name><suffix>.png``."""
        plots.save(figure, self.folder / f"{self.name}{suffix}.png", self.stamp)

    def report(self) -> None:
        """Print table, verdicts and where everything is."""
        if self.records:
            print(f"\n{self.name}: reported | reproduced [95 % interval]\n\n{self.pretty.to_string(index=False)}\n")
            print(claims.lines(self.claims()))
            print("\n".join(f"warning: {flag}" for flag in self.flags()))
        kinds = ".csv .json .md .tex .html" if self.name in TABLES else ".png .html"
        print(f"{self.stamp}\nwritten: {self.folder}/{self.name}{kinds}")

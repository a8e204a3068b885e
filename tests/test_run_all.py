from advunlearn_lib.base.store import Store
from advunlearn_lib.experiment.recipes import Recipes
from advunlearn_lib.paper import Item
from advunlearn_lib.paper.items import TABLES


def test_the_plan_counts_each_cell_once_and_learns_from_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path))
    item = Item("table5", quick=True, out=str(tmp_path / "out"))
    tasks = everything.all_tasks(item)
    rows = {cells.cell_of(record).row for table in TABLES.values() for record in cells.reported(table)}
    assert {cell.row for _, cell in tasks} == rows
    before = everything.show_plan(tasks, item.study.store)
    models = {str(Recipes(profile).cell(cell._replace(metric="model"))) for profile, cell in tasks} - {
        "('', {})"
    }
    assert (
        f"erase       0 done, {len(models):4} to do, {5 * len(models) / 60:.0f} minutes of a core" in before
    )

    store, (profile, cell) = Store(item.study.store.root), tasks[-1]
    recipes = Recipes(profile)
    for kind, recipe in (recipes.cell(cell), recipes.cell(cell._replace(metric="model"))):
        store.cell(kind, recipe, lambda _: {})
    after = everything.show_plan(tasks, store)
    done = {
        trained
        for row in rows
        if (trained := recipes.trained(row)) and recipes.options(trained)["method"] == recipe["method"]
    }
    known = len(
        {str(recipes.erase(row)) for row in done}
    )  # models of a method whose time is known now: no seconds
    assert (
        f"erase       1 done, {len(models) - 1:4} to do, {5 * (len(models) - known) / 60:.0f} minutes"
        in after
    )
    assert "attack      1 done" in after


def test_several_seeds_are_several_studies(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path))
    item = Item("table1", overrides=["seed=3"], quick=True, seeds=2, out=str(tmp_path))
    assert [study.profile.seed for study in item.studies] == [3, 4] and "seed 3..4" in item.stamp
    assert len(cells.tasks([study.profile for study in item.studies], "1")) == 2 * len(cells.reported("1"))

"""Everything at once: each cell counted once, over all seeds, and the verdicts on all claims."""

import os
import shutil

import pandas as pd
import pytest
from made_up import made_results

from advunlearn_lib.base.paths import PUBLISHED
from advunlearn_lib.base.store import Store
from advunlearn_lib.cli.main import main
from advunlearn_lib.execute.plan import describe_plan
from advunlearn_lib.experiment.attack_spec import AttackSpec
from advunlearn_lib.report import Run, claims, run_all
from advunlearn_lib.report.items import TABLES
from advunlearn_lib.report.notebook import one_thread_each
from advunlearn_lib.report.reported import jobs_of, reported, reproduce, rows_of


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    return tmp_path / "store"


def test_the_plan_counts_each_cell_once_and_learns_from_the_store(store, tmp_path):
    run = Run(quick=True, out=tmp_path / "out")
    jobs = run_all.all_jobs(run)
    rows = {row for table in TABLES.values() for row in rows_of(table)}
    protocol = run.study.protocol
    models = {spec.key: spec for row in rows if (spec := protocol.model(row).trained()) is not None}
    assert {job.model().key for job in jobs if job.model() is not None} == set(models)
    before = describe_plan(jobs, run.study.store)
    minutes = 5 * len(models) / 60
    assert f"erase       0 done, {len(models):4} to do, {minutes:.0f} minutes of a core" in before

    again, job = Store(run.study.store.root), jobs[-1]
    for spec in (job.spec, job.model()):
        again.cell(spec.KIND, spec.recipe, lambda _: {})
    after = describe_plan(jobs, again)
    known = job.model().erasure.method  # whose models take no seconds now
    minutes = 5 * sum(spec.erasure.method != known for spec in models.values()) / 60
    assert f"erase       1 done, {len(models) - 1:4} to do, {minutes:.0f} minutes" in after
    assert "attack      1 done" in after


def test_the_main_tables_models_also_face_luck_alone(store, tmp_path):
    """An attack is worth its name where it beats as many random tokens."""
    run = Run(quick=True, out=tmp_path)
    jobs = run_all.all_jobs(run)
    lucky = {job.spec.key for job in jobs if isinstance(job.spec, AttackSpec) and job.spec.attack == "random"}
    rows = {row for table in ("5", "6", "7") for row in rows_of(table)}
    assert lucky == {run.study.protocol.attack(row, "random").key for row in rows}


def test_several_seeds_are_several_studies(store, tmp_path):
    run = Run(quick=True, seed=3, seeds=2, out=tmp_path)
    assert [study.profile.seed for study in run.studies] == [3, 4] and "seed 3..4" in run.stamp
    jobs = jobs_of(run.studies, "1")
    assert len(jobs) == 2 * len(reported("1")) and {job.profile.seed for job in jobs} == {3, 4}
    assert {study.store.root for study in run.studies} == {store / "pocket"}


def test_a_number_over_seeds_is_their_mean_with_its_spread(store, tmp_path, monkeypatch):
    run = Run(quick=True, seeds=2, out=tmp_path)
    for seed, study in enumerate(run.studies):
        for number in reported("1"):
            spec = study.protocol.cell(number.cell)
            if spec.KIND == "quality":
                ends = {"value": 10.0 + 4 * seed, "low": 9.0 + 2 * seed, "high": 11.0 + 6 * seed, "n": 60}
                study.store.cell(spec.KIND, spec.recipe, lambda _, ends=ends: {"fid": ends, "clip": ends})
    monkeypatch.setattr("advunlearn_lib.report.reported.compute", lambda *_: None)
    monkeypatch.setattr(
        "advunlearn_lib.report.reported.reported",
        lambda table: [number for number in reported(table) if number.cell.metric == "fid"],
    )
    results = reproduce(run.studies, "1")
    assert len(results) == 3
    for result in results:
        assert (result.reproduced, result.low, result.high, result.n) == (12, 10, 14, 60)
        assert result.seeds == [10, 14] and result.spread == pytest.approx(8**0.5)
        assert result.here == "weapon" and result.concept == "nudity"


def test_claims_are_judged_over_all_tables_and_written(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_all, "reproduce", lambda studies, table: made_results(table))
    run = Run(quick=True, out=tmp_path / "out")
    run_all.report_claims(run)
    said = capsys.readouterr().out
    assert len(pd.read_csv(tmp_path / "out" / "claims.csv")) == said.count("claim ") == 86
    assert "of 86" in said and run.stamp in said and str(tmp_path / "out") in said
    assert run.stamp in (tmp_path / "out" / "claims.md").read_text()


def test_claims_of_the_tables_computed_so_far(own_store, tmp_path, capsys, monkeypatch):
    """Those of the store, paired; a table of which one cell lacks is left out; nothing is computed."""
    run = Run(quick=True, out=tmp_path / "out")
    assert run_all.tables_at_hand(run) == list(TABLES.values())
    lost = [number.cell for number in reported("4") if number.cell.metric == "asr"][-1]  # Fast AT's
    spec = run.study.protocol.cell(lost)
    shutil.rmtree(run.study.store.folder(spec.KIND, spec.recipe))
    at_hand = run_all.tables_at_hand(run)
    assert "4" not in at_hand and "5" in at_hand
    assert main(["claims", "--quick", "--computed", f"--out={tmp_path / 'out'}"]) == 0
    judged = pd.read_csv(tmp_path / "out" / "claims.csv")
    assert not any(name.startswith("4.") for name in judged.id) and "McNemar" in set(judged.rule)
    assert "whose tables are here (the paper has 86)" in capsys.readouterr().out
    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "empty"))
    assert main(["claims", "--quick", "--computed", f"--out={tmp_path / 'other'}"]) == 2
    assert "has no complete table yet" in capsys.readouterr().err


def test_claims_of_numbers_at_hand_compute_nothing(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run_all, "reproduce", None)
    tables = PUBLISHED / "pocket"
    assert main(["claims", f"--numbers={tables}", f"--out={tmp_path / 'out'}"]) == 0
    ours = pd.read_csv(tmp_path / "out" / "claims.csv").set_index("id")
    published = pd.read_csv(tables / "claims.csv").set_index("id")
    assert ours.left.equals(published.left) and set(ours.rule) == {"Newcombe", "MOVER"}
    assert claims.count(ours) in capsys.readouterr().out
    assert main(["claims", f"--numbers={tmp_path / 'nowhere'}", f"--out={tmp_path / 'other'}"]) == 2
    assert "--numbers takes a folder of tables" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(("given", "told"), [("", "1"), ("3", "3")])
def test_each_notebook_has_one_thread_unless_the_user_says_otherwise(given, told, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    if not given:
        monkeypatch.delenv("OMP_NUM_THREADS")
    one_thread_each()
    assert os.environ["OMP_NUM_THREADS"] == told

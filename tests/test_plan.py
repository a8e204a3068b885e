"""What is left to compute, in which order and for how long; and whether the machine can, before it begins."""

import pickle
from collections import Counter
from types import SimpleNamespace

import pytest
import torch

from advunlearn_lib.base.errors import UserError
from advunlearn_lib.base.store import Store
from advunlearn_lib.execute.plan import Job, describe_plan, plan, required_jobs
from advunlearn_lib.execute.pool import compute
from advunlearn_lib.execute.preflight import preflight
from advunlearn_lib.experiment.cells import BASE, Cell, Row
from advunlearn_lib.experiment.protocol import Protocol
from advunlearn_lib.profiles.load import load_profile
from advunlearn_lib.profiles.pocket import POCKET

PROTOCOL = Protocol(POCKET)
ESD, ENCODER = Row("nudity", "ESD", "UNet"), Row("nudity", "AdvUnlearn", "Text Encoder")
JOBS = [
    Job(POCKET, PROTOCOL.cell(Cell(row, "UnlearnDiffAtk", metric)))
    for row in (ESD, Row("nudity", "AdvUnlearn"), Row("nudity", BASE))
    for metric in ("asr", "fid", "clip")
]


def test_the_plan_trains_first_and_shrinks_as_cells_are_done(tmp_path):
    store = Store(tmp_path)
    todo = plan(JOBS, store)
    assert [job.spec.erasure.method for job in todo[:2]] == ["advunlearn", "esd"]
    assert len(todo) == 2 + 2 * 3  # FID and CLIP score are one cell; the original is not trained
    store.cell("quality", PROTOCOL.quality(ESD).recipe, lambda _: {})
    assert len(plan(JOBS, store)) == 7


def test_each_cell_is_required_once_whoever_asks():
    twice = required_jobs([*JOBS, *JOBS])
    assert twice.keys() == required_jobs(JOBS).keys()
    assert Counter(kind for kind, _ in twice) == {"erase": 2, "attack": 3, "quality": 3}


def test_a_quick_runs_estimate_is_a_quick_runs(tmp_path):
    """Six cells of a few seconds are not minutes."""
    quick = load_profile(quick=True)
    jobs = [Job(quick, job.spec) for job in JOBS]
    assert "erase       0 done,    2 to do, 2 minutes of a core" in describe_plan(JOBS, Store(tmp_path))
    assert "erase       0 done,    2 to do, 0 minutes of a core" in describe_plan(jobs, Store(tmp_path))


def test_a_machine_too_small_says_so_first(tmp_path):
    jobs = [Job(POCKET.model_copy(update={"disk_gb": 1e9}), PROTOCOL.model(ESD))]
    with pytest.raises(UserError, match="GB are free for the store"):
        compute(jobs, Store(tmp_path), "test")


def test_a_machine_without_a_gpu_says_so_first(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    wanting = POCKET.model_copy(update={"gpu_gb": 12})
    with pytest.raises(UserError, match="needs a GPU of 12 GB and torch sees none"):
        compute([Job(wanting, PROTOCOL.model(ESD))], Store(tmp_path), "test")
    told = wanting.model_copy(update={"device": "cpu"})  # "to go on anyway: --set device=cpu"
    preflight([Job(told, PROTOCOL.model(ESD))], Store(tmp_path))


def test_a_gpu_too_small_to_train_a_unet_says_so_first(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: SimpleNamespace(total_memory=16e9))
    small = POCKET.model_copy(update={"gpu_gb": 12, "gpu_unet_gb": 24})
    preflight([Job(small, PROTOCOL.model(ENCODER))], Store(tmp_path))
    preflight([Job(small, PROTOCOL.attack(ESD, "UnlearnDiffAtk"))], Store(tmp_path))  # its model is trained
    with pytest.raises(UserError, match="the GPU has 16 GB; 24 GB are needed"):
        preflight([Job(small, PROTOCOL.model(ESD))], Store(tmp_path))


def test_a_device_that_is_not_there_is_named_before_anything_is_begun(tmp_path):
    jobs = [Job(POCKET.model_copy(update={"device": "cuda:99"}), PROTOCOL.model(ESD))]
    with pytest.raises(UserError, match="this machine has no device 'cuda:99'"):
        compute(jobs, Store(tmp_path), "test")


def test_a_job_arrives_as_it_was_sent():
    job = JOBS[0]
    assert pickle.loads(pickle.dumps(job)) == job and not isinstance(job.spec, bytes)

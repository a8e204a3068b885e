"""The shipped pocket model, loaded once; a store of made-up results, filled once. No other stand-ins.

Files run whole, longest first: a process that finishes early takes the next, and the last ones are short.
"""

import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")  # of the processes that tests start, too

import pytest
import torch
from diffusers import UNet2DConditionModel
from filelock import FileLock

from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.metrics.clip_score import load_clip
from advunlearn_lib.profiles.pocket import POCKET

torch.set_num_threads(1)  # small models: a second thread only waits
LONGEST = (
    "test_reference.py",
    "test_notebooks_all.py",
    "test_notebooks.py",
    "test_methods.py",
    "test_attack.py",
    "test_training.py",
    "test_interrupt.py",
)


def pytest_collection_modifyitems(items) -> None:
    """Files that take long come first; within a file the order stays."""
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


@pytest.fixture(scope="session")
def model() -> LatentDiffusion:
    return load_model(POCKET.base)


@pytest.fixture(scope="module")
def large(model) -> LatentDiffusion:
    """A model of Stable Diffusion's latent size, 64 x 64, otherwise as small as may be."""
    unet = UNet2DConditionModel(
        sample_size=64, block_out_channels=(8, 8), norm_num_groups=4, attention_head_dim=4,
        layers_per_block=1, cross_attention_dim=model.text_encoder.config.hidden_size,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    return model.with_parts(unet=unet)


@pytest.fixture(scope="session")
def clip():
    return load_clip(POCKET.clip)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def fast() -> Sampling:
    """Enough steps for a picture that is no noise any more."""
    return Sampling("dpm++", 3, 5.0)


@pytest.fixture(scope="session")
def quick_store(tmp_path_factory) -> Path:
    """Made-up results of every notebook's quick run, filled by the first process that asks. To read alone."""
    from made_up import fill_store

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent  # all processes' own
    store, filled = folder / "quick_store", folder / "quick_store.filled"
    with FileLock(folder / "quick_store.lock"):
        if not filled.exists():
            fill_store(store)
            filled.touch()
    return store


@pytest.fixture
def own_store(quick_store, tmp_path, monkeypatch) -> Path:
    """The same for one test, which may write: linked files, and the store of this process."""
    from made_up import copy_store

    monkeypatch.setenv("ADVUNLEARN_STORE", str(tmp_path / "store"))
    return copy_store(quick_store, tmp_path / "store")

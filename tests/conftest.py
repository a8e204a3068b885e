"""The shipped pocket model, loaded once; nothing here is a stand-in."""

import os

os.environ["HF_HUB_OFFLINE"] = "1"

import pytest
import torch

from advunlearn_lib.diffusion.load import load_model
from advunlearn_lib.diffusion.model import LatentDiffusion
from advunlearn_lib.diffusion.sampling import Sampling
from advunlearn_lib.metrics.clip_score import load_clip
from advunlearn_lib.profiles.pocket import POCKET

torch.set_num_threads(1)  # small models: a second thread only waits


@pytest.fixture(scope="session")
def model() -> LatentDiffusion:
    return load_model(POCKET.base)


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

"""The shipped pocket model, loaded once; nothing here is a stand-in."""

import pytest
import torch

from advunlearn_lib.model import LatentDiffusion
from advunlearn_lib.profiles import POCKET


@pytest.fixture(scope="session")
def model() -> LatentDiffusion:
    return LatentDiffusion.load(POCKET.base)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)

"""Fixtures shared by all tests of the instrument."""

import pytest
import torch

from tests.tiny import picture, tiny_vlm
from vlmlib import VLM, Stimulus

# Models this small gain nothing from more threads, and workers beside one another lose a lot.
torch.set_num_threads(1)


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("update_snapshots", False) and config.getoption("numprocesses", None):
        raise pytest.UsageError(
            "Update snapshots without -n: several workers would write the same pages."
        )


@pytest.fixture(scope="session", params=["sdpa", "eager"])
def vlm(request: pytest.FixtureRequest) -> VLM:
    return tiny_vlm(request.param)


@pytest.fixture(scope="session")
def stimulus(vlm: VLM) -> Stimulus:
    return vlm.read(picture(), "Is there a dog in this image?")

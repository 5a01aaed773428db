"""Fixtures shared by all tests of the instrument."""

import pytest

from tests.tiny import picture, tiny_vlm
from vlmlib import VLM, Stimulus


@pytest.fixture(scope="session", params=["sdpa", "eager"])
def vlm(request: pytest.FixtureRequest) -> VLM:
    return tiny_vlm(request.param)


@pytest.fixture(scope="session")
def stimulus(vlm: VLM) -> Stimulus:
    return vlm.read(picture(), "Is there a dog in this image?")

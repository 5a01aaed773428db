"""The examples in the docstrings of claimlib and vlmlib run and print what they say."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
import torch

import claimlib
import vlmlib
from tests.tiny import picture, tiny_vlm

WITHOUT_EXAMPLES = {
    "claimlib.errors",
    "claimlib.page",
    "claimlib.plugin",
    "vlmlib.errors",
    "vlmlib.oracle",
    "vlmlib.study",
    "vlmlib.study.scene",
}  # nothing here that a user calls
MODULES = {
    module.name
    for package in (claimlib, vlmlib)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
} - WITHOUT_EXAMPLES


@pytest.mark.parametrize("name", sorted(MODULES))
def test_the_examples_of_a_module_print_what_they_say(name):
    module = importlib.import_module(name)
    vlm = tiny_vlm()
    public = {each: getattr(vlmlib, each) for each in vlmlib.__all__}
    stimulus = vlm.read(picture(), "Is there a dog in this image?")
    known = public | {
        "np": np,
        "torch": torch,
        "vlm": vlm,
        "image": picture(),
        "stimulus": stimulus,
    }
    results = doctest.testmod(module, extraglobs=known)
    assert results.attempted > 0
    assert results.failed == 0

"""What the claims of this repository are held against."""

from dataclasses import replace
from pathlib import Path

import pytest

FIXTURES = Path(__file__).parents[2] / "fixtures"  # of the project's clone: a model and pictures


@pytest.fixture(scope="session")
def bench(tmp_path_factory):
    """The shipped model on its scenes; results are kept for this run."""
    from vlmlib.study import Bench, MeanOf, Store, checkpoint

    pictures = sorted((FIXTURES / "emoji_coco" / "eval").glob("*.png"))[-40:]
    store = Store(tmp_path_factory.mktemp("store"))
    yield Bench(checkpoint(str(FIXTURES / "emoji_llava")), store, MeanOf(pictures=pictures))
    store.close()


@pytest.fixture(scope="session")
def examples():
    """Scenes, each asked about its first object."""
    from vlmlib.study import coco

    scenes = coco.read(FIXTURES / "emoji_coco").examples[:60]
    return [replace(each, category=each.objects[0].category) for each in scenes if each.objects]

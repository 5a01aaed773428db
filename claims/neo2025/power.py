"""Which claims so many images can decide, were the paper's figures the truth."""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from claimlib import Claim
from claims.neo2025.sample import MOST_IMAGES
from fixtures.filtered import QUESTIONS

POWER = Path(__file__).with_name("power.toml")
ENOUGH = 80  # of a hundred draws
INSTEAD = "llava-1.5-7b"  # whose figures stand for those of a model that the paper has none of
MIXED = {"images": MOST_IMAGES, "questions": QUESTIONS, "lens": MOST_IMAGES}
# On what samples it depends what a claim finds, by what it asks.
SAMPLES = {
    "ablations": ("images", "questions"),
    "knockouts": ("questions",),
    "flips": ("questions",),
    "lens": ("lens",),
    "numbers": ("lens",),
}


def decided(claim: Claim, model: str, sizes: Mapping[str, float]) -> int | None:
    """In how many of a hundred draws a claim is decided, supported or refuted, with so many images;
    None where it was never drawn.

    Between sizes that were drawn it is interpolated, along the logarithm; fewer than any decide
    nothing. Images count as independent, and those that pass filter 2 as right.

    **Arguments:** a claim; a model, by the paper's name of it; how many "images" pass filter 2,
    "questions" are asked, and images the "lens" has.
    """
    world = next((each for each in _worlds(model) if claim.id in each["decided"]), None)
    if world is None:
        return None
    needed = {sample for name in claim.subjects["asks"] for sample in SAMPLES.get(name, ())}
    counting = {**sizes, "questions": world["right"] * sizes.get("questions", 0)}
    n, drawn = min(counting[sample] for sample in needed), world["n"]
    found = float(np.interp(np.log(max(n, 1)), np.log(drawn), world["decided"][claim.id], left=0))
    if all(sizes[sample] >= MIXED[sample] for sample in needed):
        found = max(found, world["mixed"].get(claim.id, 0))
    return round(found)


def has_figures(model: str, claim: Claim) -> bool:
    """Whether what is told of a claim comes of the model's own figures."""
    return claim.id in _file().get(model, {}).get("decided", {})


def _worlds(model: str) -> list[dict[str, Any]]:
    """A model's own worlds, and those that stand for them."""
    return [_file()[each] for each in dict.fromkeys([model, INSTEAD, *_file()]) if each in _file()]


@cache
def _file() -> dict[str, Any]:
    return tomllib.loads(POWER.read_text())

"""An example under a question, as a design sees it: from which arms are made."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from vlmlib import select
from vlmlib.errors import LackingError
from vlmlib.interventions import Arm
from vlmlib.model import VLM
from vlmlib.stimulus import Stimulus
from vlmlib.study.example import Example


@dataclass(frozen=True, eq=False)
class Scene:
    """An example under a question, ready for interventions.

    - `object`: the target's visual tokens; none where the example shows none of it.
    - `mean`: the mean visual token, the value of mean ablation.
    - `seed`: of all random draws on this example.
    """

    vlm: VLM
    stimulus: Stimulus
    example: Example
    object: Int[Tensor, " token"]
    mean: Float[Tensor, " d_model"]
    seed: tuple[int, int] = (0, 0)

    def region(self, buffer: int) -> Int[Tensor, " token"]:
        """The object's tokens with a buffer (section 3): 0, the object alone, 1 or 2."""
        return select.buffer(self.stimulus, self.object, buffer)

    def generator(self, name: str) -> np.random.Generator:
        """A random generator for the arm of this name, so that another arm more changes none."""
        return np.random.default_rng([*self.seed, zlib.crc32(name.encode())])

    def random(self, name: str, k: int | Int[Tensor, " like"]) -> Int[Tensor, " token"]:
        """`k` random visual tokens, or as many as a region has, for the arm of this name."""
        return select.random(self.stimulus, k, self.generator(name))


Making = Callable[[], Arm]
Design = Callable[[Scene], Mapping[str, Arm | Making]]


def made(arms: Mapping[str, Arm | Making]) -> tuple[dict[str, Arm], dict[str, str]]:
    """The arms of a design, each by itself, and why there are not the others.

    An arm may be a function that makes it: where that raises `LackingError`, as for more tokens
    than an image has, the image lacks this arm alone.

    !!! example

        >>> def random(k):
        ...     return [Ablate(select.random(stimulus, k, np.random.default_rng(0)), zero)]
        >>> zero = torch.zeros(vlm.d_model)
        >>> arms, lacking = made({"none": [], "5": lambda: random(5), "99": lambda: random(99)})
        >>> [*arms], lacking["99"][:43]
        (['none', '5'], 'random was asked for 99 of 16 visual tokens')
    """
    found: dict[str, Arm] = {}
    lacking: dict[str, str] = {}
    for name, arm in arms.items():
        try:
            found[name] = arm() if callable(arm) else arm
        except LackingError as error:
            lacking[name] = str(error)
    return found, lacking

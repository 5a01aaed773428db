"""An example under a question, as a design sees it: from which arms are made."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from torch import Tensor

from vlmlib import select
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


Design = Callable[[Scene], Mapping[str, Arm]]

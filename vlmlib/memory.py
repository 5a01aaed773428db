"""How many positions the memory of a model's devices holds, learned by running out of any one's."""

from collections.abc import Callable
from typing import TypeVar

import torch

from vlmlib.errors import VLMError

Result = TypeVar("Result")


class Memory:
    """What a model's runs ask for is halved until it fits, on each of its devices, for all of their
    kind that run afterwards.

    - `most`: how many positions one pass of a kind may hold, once it has run out of memory.

    !!! example

        >>> Memory().within(lambda max_tokens: max_tokens, 1000, "description")
        1000
    """

    def __init__(self):
        self.most: dict[str, int] = {}

    def within(self, run: Callable[[int], Result], max_tokens: int, kind: str) -> Result:
        """What `run(max_tokens)` returns, or the same of a half, a quarter ... as many positions.

        **Arguments:** `kind`: of what, as gradients take more room than a plain pass.

        **Raises:** `VLMError` where not even one position fits.
        """
        while True:
            tokens = min(max_tokens, self.most.get(kind, max_tokens))
            try:
                return run(tokens)
            except torch.OutOfMemoryError as error:
                if tokens == 1:
                    raise VLMError(
                        f"The device's memory does not hold this model and one sequence ({error}). "
                        'Use a larger card, or several (device="auto"), or a smaller type of '
                        "weights."
                    ) from error
            # only here are the tensors let go that the failed run held
            self.most[kind] = tokens // 2
            torch.cuda.empty_cache()  # of all cards

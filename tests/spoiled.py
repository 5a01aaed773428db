"""A fault that is planted in a model's head: on one picture alone it gives no numbers."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from vlmlib import VLM


@contextmanager
def spoiled(vlm: VLM, logits: Tensor) -> Iterator[None]:
    """While the context lasts, the head gives NaN wherever it would give these logits."""

    def spoil(_module: object, _args: object, output: Tensor) -> Tensor:
        same = (output - logits).abs().amax(-1) < 1e-4
        return output.masked_fill(same[..., None], torch.nan)

    hook = vlm.decoder.unembed.register_forward_hook(spoil)
    try:
        yield
    finally:
        hook.remove()

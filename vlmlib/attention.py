"""Attention that tokens receive, from an exact pass beside the run: on any backend."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from vlmlib.checks import check_range
from vlmlib.errors import VLMError
from vlmlib.hooks import after
from vlmlib.interventions import Tokens, positions
from vlmlib.model import VLM
from vlmlib.reach import eager, told_by
from vlmlib.stimulus import Stimulus


@torch.no_grad()
def attention_received(
    vlm: VLM, stimulus: Stimulus, by: Tokens | None = None
) -> Float[Tensor, "layer token"]:
    """The attention weight that every position receives in the clean run, layer by layer: a mean
    over heads and over the positions that give it. Each row sums to 1.

    Costs one pass of the whole model, in which attention is eager and tells its weights.

    **Arguments:** a stimulus; `by`: which positions attend, by default the last.

    **Returns:** a row for each of `vlm.layers`; NaN in layers without self-attention.

    **Raises:** `LackingError` where the model's attention tells no weights; `VLMError` for a
    position outside of the sequence, and for none.

    !!! example

        >>> received = attention_received(vlm, stimulus)
        >>> received.shape, received.sum(1).round(decimals=4).tolist()
        (torch.Size([2, 33]), [1.0, 1.0])
    """
    rows = list(positions(stimulus.last if by is None else by))
    check_range("attention_received: position", rows, len(stimulus.embeddings))
    if not rows:
        raise VLMError("attention_received was asked about no position. Pass at least one.")
    found = torch.full((len(vlm.layers), len(stimulus.embeddings)), torch.nan)

    def telling(layer: int) -> Callable[[Any], None]:
        def tell(output: Any) -> None:
            found[layer] = told_by(output)[0][:, rows].float().mean((0, 1)).cpu()

        return tell

    with eager(vlm.decoder), ExitStack() as hooks:
        for layer, module in vlm.decoder.attending.items():
            hooks.enter_context(after(module, telling(layer)))
        vlm.model(**stimulus.inputs, use_cache=False, logits_to_keep=1)
    return found

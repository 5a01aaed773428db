"""The language model of a VLM, as interventions see it: a stack of causal decoder layers between
two embeddings."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True, eq=False)
class Decoder:
    """The parts of a language model that the engine and the readouts touch. `VLM.decoder` holds
    one.

    - `stack`: takes embeddings `[batch, seq, d_model]`, returns the last hidden states, normed.
    - `embed`, `unembed`: ids to embeddings, normed hidden states to logits.
    - `layers`, `attentions`: each decoder layer and its self-attention, in order; `norm`: the final
        norm.
    - `last_mlp`: what the last layer does to each position by itself after attention, where it is
        one module.
    - `windows`: for each layer how many positions, itself included, a position attends to; None for
        all before it.
    - `heads`: query heads per layer. `d_model`: width of an embedding.

    !!! example

        >>> vlm.decoder.heads, vlm.decoder.windows
        (4, [None, None])
    """

    stack: nn.Module
    embed: nn.Module
    unembed: nn.Module
    layers: Sequence[nn.Module]
    attentions: Sequence[nn.Module]
    norm: nn.Module
    last_mlp: nn.Module | None
    windows: Sequence[int | None]
    heads: int
    d_model: int

    @property
    def eager(self) -> bool:
        """Whether attention takes a mask to add to the scores (eager) and no boolean one (sdpa), as
        set just now."""
        return self.stack.config._attn_implementation == "eager"  # pyright: ignore

    @property
    def device(self) -> torch.device:
        return self.embed.weight.device  # pyright: ignore[reportReturnType]

    @property
    def dtype(self) -> torch.dtype:
        return self.embed.weight.dtype  # pyright: ignore[reportReturnType]

    @property
    def vocab(self) -> int:
        """How many tokens have a logit."""
        weight: Any = self.unembed.weight
        return weight.shape[0]

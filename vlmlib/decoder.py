"""The language model of a VLM, as interventions see it: a stack of causal decoder layers between
two embeddings."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlmlib.interventions import Arm
from vlmlib.stimulus import Stimulus

# Where a pass computes some positions of its arm of a number: a row and columns.
At = Callable[[int, Sequence[int]], tuple[int, list[int]]]
# Looks on, and changes nothing, while arms run on a stimulus in one pass.
Watch = Callable[[Stimulus, Sequence[Arm], At], AbstractContextManager[None]]


@dataclass(frozen=True, eq=False)
class Decoder:
    """The parts of a language model that the engine and the readouts touch. `VLM.decoder` holds
    one.

    - `stack`: takes embeddings `[batch, seq, d_model]`, returns the last hidden states, normed.
    - `embed`, `unembed`: ids to embeddings, normed hidden states to logits.
    - `layers`, `attentions`: each decoder layer and its self-attention, in order, None of a layer
        without; `norm`: the final norm.
    - `last_mlp`: what the last layer does to each position by itself after attention, where it is
        one module.
    - `windows`: for each layer how many positions, itself included, a position attends to; None for
        all before it.
    - `heads`: query heads per layer. `d_model`: width of an embedding.
    - `closed`: layers whose input cannot be replaced, each with the reason.
    - `prefix_alone`: whether a prefix that runs by itself leaves the keys and values that it leaves
        in the whole run; where rotary values depend on a run's length, it does not.
    - `watch`: who looks on while arms run (see `vlmlib.reach`); nobody, by default.

    !!! example

        >>> vlm.decoder.heads, vlm.decoder.windows
        (4, [None, None])
    """

    stack: nn.Module
    embed: nn.Module
    unembed: nn.Module
    layers: Sequence[nn.Module]
    attentions: Sequence[nn.Module | None]
    norm: nn.Module
    last_mlp: nn.Module | None
    windows: Sequence[int | None]
    heads: int
    d_model: int
    closed: Mapping[int, str] = field(default_factory=dict)
    prefix_alone: bool = True
    watch: Watch | None = None

    def watched(
        self, stimulus: Stimulus, arms: Sequence[Arm], at: At
    ) -> AbstractContextManager[None]:
        """While the context lasts, whoever watches looks on.

        !!! example

            >>> with vlm.decoder.watched(stimulus, [[]], lambda arm, tokens: (0, list(tokens))):
            ...     output = vlm.model(**stimulus.inputs)
        """
        return nullcontext() if self.watch is None else self.watch(stimulus, arms, at)

    @property
    def attending(self) -> dict[int, nn.Module]:
        """The self-attention of every layer that has one."""
        return {at: each for at, each in enumerate(self.attentions) if each is not None}

    @property
    def eager(self) -> bool:
        """Whether attention takes a mask to add to the scores (eager) and no boolean one (sdpa), as
        set just now."""
        return self.stack.config._attn_implementation == "eager"  # pyright: ignore

    def logits(self, normed: Float[Tensor, "*row d_model"]) -> Float[Tensor, "*row vocab"]:
        """The logits of normed hidden states, on `device`, wherever the unembedding is.

        !!! example

            >>> vlm.decoder.logits(torch.zeros(3, 16)).shape
            torch.Size([3, 586])
        """
        return self.unembed(normed).to(self.device)

    @property
    def device(self) -> torch.device:
        """Where stimuli are and answers go: the device of the embedding, if layers are on
        others."""
        return self.embed.weight.device  # pyright: ignore[reportReturnType]

    @property
    def dtype(self) -> torch.dtype:
        return self.embed.weight.dtype  # pyright: ignore[reportReturnType]

    @property
    def vocab(self) -> int:
        """How many tokens have a logit."""
        weight: Any = self.unembed.weight
        return weight.shape[0]

"""What a model makes of normed hidden states: logits, as its own head computes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from vlmlib import oracle
from vlmlib.decoder import Decoder
from vlmlib.errors import LackingError
from vlmlib.hooks import after, instead
from vlmlib.selfcheck import failure_of, more_than_unembedded, off_by, rounding
from vlmlib.stimulus import Stimulus

Logits = Callable[[Float[Tensor, "row d_model"]], Float[Tensor, "row vocab"]]


@dataclass(frozen=True, eq=False)
class Head:
    """Logits of hidden states that the final norm has seen. `VLM.head` holds one.

    - `plain`: whether they are these states unembedded, and nothing else.
    - `refusal`: why no logits can be had; None where they can.

    !!! example

        >>> vlm.head(torch.zeros(3, 16)).shape, vlm.head.plain
        (torch.Size([3, 586]), True)
    """

    logits: Logits
    plain: bool = True
    refusal: str | None = None

    @classmethod
    @torch.no_grad()
    def of(cls, model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus) -> "Head":
        """The first of two that gives the model's own prediction: its unembedding, or its whole
        head, run without the layers before it."""
        outputs: list[Any] = []
        with after(model.base_model, outputs.append):
            own = model(**stimulus.inputs, use_cache=False, logits_to_keep=1).logits[0, -1:]
        heads = [cls(_replaying(model, stimulus, outputs), plain=False)]
        if more_than_unembedded(model, decoder, stimulus) is None:
            heads.insert(0, cls(decoder.logits))
        reasons: list[str] = []
        for head in heads:
            reason = failure_of(lambda head=head: _apart(head, model, decoder, stimulus, own))
            if reason is None:
                return head
            reasons.append(reason)
        return cls(decoder.logits, plain=False, refusal=reasons[-1])

    def __call__(self, normed: Float[Tensor, "row d_model"]) -> Float[Tensor, "row vocab"]:
        if self.refusal is not None:
            raise LackingError(
                "Hidden states of this model cannot be decoded: what its final norm and its head "
                f"make of its last ones is not its own prediction ({self.refusal}). Ask for its "
                "next token instead."
            )
        return self.logits(normed)


def _replaying(model: PreTrainedModel, stimulus: Stimulus, outputs: Sequence[Any]) -> Logits:
    """The model's own forward pass, in which other hidden states stand in the place of what all
    before its head has made."""

    def logits(normed: Float[Tensor, "row d_model"]) -> Float[Tensor, "row vocab"]:
        def made(*_: Any, **__: Any) -> Any:
            [output] = outputs
            return type(output)(**{**output, "last_hidden_state": normed[None]})

        with instead(model.base_model, made):
            return model(**stimulus.inputs, use_cache=False, logits_to_keep=0).logits[0]

    return logits


def _apart(
    head: Head, model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus, own: Tensor
) -> str | None:
    """How what a head makes of the last position differs from the model's own logits, if it
    does."""
    last = oracle.hidden_states(model, decoder, stimulus, [stimulus.last], [])[-1]
    seen = head(decoder.norm(last))
    if seen.shape != own.shape:
        return f"logits of shape {tuple(seen.shape)}, not {tuple(own.shape)}"
    if (off := off_by(seen, own)) <= rounding(decoder.dtype):
        return None
    return f"off by {off:.1e} of its scale"

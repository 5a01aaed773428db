"""Whether a block removes its edges and does nothing else: attention that picks the best few of
many positions takes others in the place of those that it cannot have.

No mask shows that, so it is read from what an attention module gives. The positions without weight
are those in which the gradient at its last row is zero, and none of them may get one once others
are blocked: softmax raises all that is left by one factor, and nothing from zero.
"""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import PreTrainedModel

from vlmlib.decoder import Decoder
from vlmlib.hooks import Edit, before, hidden_in, with_hidden
from vlmlib.interventions import Block
from vlmlib.masks import edges_of
from vlmlib.oracle import removed_edges, without_edges
from vlmlib.selfcheck import failure_of
from vlmlib.sides import Extent, Side, Sides
from vlmlib.stimulus import Stimulus

# Up to so many of its type's smallest normal numbers a position counts as not heard: a weight may
# be rounded to nothing. From so many times as much on it is heard.
LEAST, MORE = 0.01, 1000
# What attention picks, it picks of any input: one so much smaller spreads a softmax over all keys.
SOFTER = 1 / 8


@dataclass(frozen=True, eq=False)
class Sparse:
    """Which layers attend sparsely, tried once for all prompts of like length. `VLM` holds one.

    !!! example

        >>> from vlmlib.sides import Sides
        >>> Sparse(vlm.model, vlm.decoder, Sides.of_model(vlm.model)).on(stimulus)
        {}
    """

    model: PreTrainedModel
    decoder: Decoder
    sides: Sides
    _found: dict[Side, dict[int, str]] = field(default_factory=dict, repr=False)

    def on(self, stimulus: Stimulus) -> dict[int, str]:
        """Layers in which blocks do more than remove edges of a stimulus, each with the reason."""
        side = self.sides.of(Extent.of(stimulus))
        if side not in self._found:
            self._found[side] = letting_others_in(self.model, self.decoder, stimulus)
        return self._found[side]


@torch.no_grad()
def letting_others_in(
    model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus
) -> dict[int, str]:
    """Layers in which the last position attends to others once some that it attends to are blocked,
    each with the reason.

    Costs one pass, in which each attention runs again, with a gradient.

    !!! example

        >>> letting_others_in(vlm.model, vlm.decoder, stimulus)
        {}
    """
    found: dict[int, str] = {}

    def looking(layer: int, attention: nn.Module) -> Edit:
        def look(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            if count := _let_in(attention.forward, args, kwargs, decoder.heads):
                found[layer] = (
                    "its attention picks positions, and where some are blocked it takes others in "
                    f"their place ({count} of them at the last one)"
                )
            return args, kwargs

        return look

    def run() -> None:
        with ExitStack() as hooks:
            for layer, attention in decoder.attending.items():
                hooks.enter_context(before(attention, looking(layer, attention)))
            model(**stimulus.inputs, use_cache=False, logits_to_keep=1)

    reason = failure_of(run)
    if reason is None:
        return found
    untold = f"whether its attention then lets others in could not be seen ({reason})"
    return dict.fromkeys(decoder.attending, untold)


def _let_in(attend: Callable[..., Any], args: tuple, kwargs: dict[str, Any], heads: int) -> int:
    """How many positions the last one hears only after the weakest of those that it hears are
    blocked."""
    clean, last = _heard(attend, args, kwargs), hidden_in(args, kwargs).shape[1] - 1
    least = LEAST * torch.finfo(hidden_in(args, kwargs).dtype).smallest_normal
    unheard = (clean <= least) & _allowed(kwargs.get("attention_mask"), last, clean.device)
    weak = _weakest(clean.where(clean > least, 0), last)
    if not weak or not bool(unheard.any()):
        return 0
    removed = removed_edges([Block(weak, to=last, layers=[])], len(clean), heads)
    blocked = without_edges(hidden_in(args, kwargs), kwargs, removed)
    return int((unheard & (_heard(attend, args, blocked) > MORE * least)).sum())


def _weakest(heard: Float[Tensor, " key"], last: int) -> list[int]:
    """The heard positions but the last that make a tenth of all together, so that softmax raises
    the others by little, and two at least: the last, heard as the query that it is, may be what
    attention takes in their place, and is no new one."""
    order = [each for each in heard.argsort().tolist() if heard[each] > 0 and each != last]
    sums = heard[order].cumsum(0).tolist()
    return order[: max(2, sum(each <= float(heard.sum()) / 10 for each in sums))]


def _heard(
    attend: Callable[..., Any], args: tuple, kwargs: Mapping[str, Any]
) -> Float[Tensor, " key"]:
    """How far what attention gives at the last position moves with what it is given at each."""
    with torch.enable_grad():
        hidden = (SOFTER * hidden_in(args, dict(kwargs))).detach().requires_grad_()
        given_args, given_kwargs = with_hidden(args, dict(kwargs), hidden)
        output = attend(*given_args, **given_kwargs)
        output = output if isinstance(output, Tensor) else output[0]
        [slope] = torch.autograd.grad(output[0, -1].abs().sum(), hidden)
    return slope[0].float().abs().amax(-1)


def _allowed(mask: Tensor | None, last: int, device: torch.device) -> Bool[Tensor, " key"] | bool:
    """Which positions the mask of an attention allows to the last one; True for all."""
    if mask is None:
        return True
    return edges_of(mask[0, :, -1:, : last + 1].to(device))[:, 0].any(0)

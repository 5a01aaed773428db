"""The slow oracle: one plain forward pass of the model per arm, changed by hooks and by nothing else."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vlmlib.errors import VLMError
from vlmlib.interventions import Ablate, Arm, Block
from vlmlib.stimulus import Stimulus


def next_token(
    model: nn.Module, attentions: Sequence[nn.Module], stimulus: Stimulus, arm: Arm
) -> Float[Tensor, " vocab"]:
    """The logits at the last token position under one arm.

    **Arguments:** the whole model; the self-attention module of each decoder layer, in order; a stimulus; one arm.

    **Returns:** float `[vocab]`, as the model's own head computes them.
    """
    embeddings = ablated(stimulus.embeddings, [each for each in arm if isinstance(each, Ablate)])
    blocks = [each for each in arm if isinstance(each, Block)]
    with torch.no_grad(), ExitStack() as hooks:
        for index, attention in enumerate(attentions):
            here = [block for block in blocks if index in block.layers and block.source and block.to]
            if here:
                hooks.enter_context(knocked_out(attention, here, len(embeddings)))
        output = model(
            inputs_embeds=embeddings[None],
            position_ids=stimulus.position_ids,
            use_cache=False,
            logits_to_keep=1,
        )
    return output.logits[0, -1]


def ablated(embeddings: Float[Tensor, "seq d_model"], ablations: list[Ablate]) -> Float[Tensor, "seq d_model"]:
    """A copy of the embeddings with every ablation's rows replaced."""
    result = embeddings.clone()
    for each in ablations:
        result[list(each.tokens)] = each.value.to(result)
    return result


@contextmanager
def knocked_out(attention: nn.Module, blocks: list[Block], length: int) -> Iterator[None]:
    """While the context lasts, this attention module sees a mask without the blocked edges.

    The mask that the model passes is kept and only its blocked entries change: False in a boolean mask (sdpa), the
    most negative number in an additive one (eager), where False would be 0 and change nothing.

    **Raises:** `VLMError` if a row is left without any source: its softmax would be a uniform average.
    """

    def edit(_module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        mask, hidden = kwargs.get("attention_mask"), kwargs["hidden_states"]
        if mask is None:
            mask = torch.ones(length, length, dtype=torch.bool, device=hidden.device).tril()[None, None]
        blocked = torch.zeros(length, length, dtype=torch.bool, device=mask.device)
        for block in blocks:
            blocked[torch.tensor(block.to)[:, None], torch.tensor(block.source)[None, :]] = True
        is_boolean = mask.dtype == torch.bool
        mask = mask.masked_fill(blocked, False if is_boolean else torch.finfo(mask.dtype).min)
        seen = mask if is_boolean else mask > torch.finfo(mask.dtype).min / 2
        empty = (~seen.any(-1)).nonzero()
        if len(empty):
            raise VLMError(
                f"Blocking leaves position {int(empty[0, -1])} with no position to attend to. Keep at least one "
                "source, for example the position itself."
            )
        return args, {**kwargs, "attention_mask": mask}

    handle = attention.register_forward_pre_hook(edit, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()

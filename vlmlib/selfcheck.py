"""What is tried on a model before it is trusted: do interventions reach it, and may arms share work?"""

import warnings

import torch
from transformers import PreTrainedModel

from vlmlib import engine, reference
from vlmlib.decoder import Decoder
from vlmlib.errors import VLMError
from vlmlib.interventions import Ablate, Arm, Block
from vlmlib.stimulus import Stimulus

TOLERANCE = {torch.float32: 1e-4, torch.float16: 2e-2, torch.bfloat16: 1e-1}  # of the largest logit


def sharing_is_exact(model: PreTrainedModel, decoder: Decoder, stimulus: Stimulus) -> bool:
    """Whether the engine gives on this model what one hooked forward pass per arm gives.

    It does not where a position's keys depend on later positions (bidirectional image blocks, prefix language models),
    or where the model does more to its logits than unembed: then every arm has to run by itself, and a warning says so.

    **Raises:** `VLMError` if removing every attention edge into the last position leaves its logits as they are.

    !!! example

        >>> sharing_is_exact(vlm.model, vlm.decoder, stimulus)
        True
    """
    last, visual = stimulus.last, stimulus.visual
    value = stimulus.embeddings[visual].mean(0)
    cut: Arm = [Block(range(last), to=last, layers=range(len(decoder.layers)))]
    some: Arm = [Ablate(visual[len(visual) // 2 :], value)]
    late: Arm = [Block(visual, to=range(int(visual[-1]) + 1, last + 1), layers=[len(decoder.layers) // 2])]
    arms: list[Arm] = [[], cut, some, late]
    slow = torch.stack([reference.next_token(model, decoder, stimulus, arm) for arm in arms])
    scale = slow.abs().max()
    if (slow[0] - slow[1]).abs().max() <= 1e-6 * scale:
        raise VLMError(
            f"Editing the attention of {type(model).__name__} changes nothing: with all edges into the last position "
            "removed its logits are the same. Its attention ignores the mask that its layers are given."
        )
    fast = engine.next_token(decoder, stimulus, arms, max_tokens=4 * len(stimulus.embeddings))
    off = float((fast - slow).abs().max() / scale)
    if off <= TOLERANCE.get(decoder.dtype, 1e-1):
        return True
    warnings.warn(
        f"{type(model).__name__}: arms cannot share work on this model (its logits would be off by {off:.1e} of their "
        "scale), for example because image tokens attend to later ones. Each arm runs as one forward pass of its own: "
        "exact, but slow.",
        stacklevel=4,
    )
    return False

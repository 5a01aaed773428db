"""Activation patching: hidden states of one stimulus in the place of another's."""

import torch

from vlmlib.errors import LackingError, VLMError
from vlmlib.interventions import Ablate, Tokens, numbers
from vlmlib.model import VLM
from vlmlib.stimulus import Stimulus


def patch(vlm: VLM, stimulus: Stimulus, donor: Stimulus, tokens: Tokens, layer: int = 0) -> Ablate:
    """What enters a layer at some positions, taken from a donor that is laid out alike.

    At layer 0 these are the embeddings, with all that the picture adds later. At a later layer
    nothing of the picture may be added after it: that would be the stimulus's own, not the donor's.

    **Arguments:** a stimulus; a donor, of which every part stands where the stimulus has it (see
    `check_alike`); positions; a 0-based layer.

    **Raises:** `LackingError` where the two are laid out otherwise, and where more of the picture
    is added after the layer.

    !!! example

        >>> other = vlm.read(image.rotate(180), "Is there a dog in this image?")
        >>> arm = [patch(vlm, stimulus, other, stimulus.visual, layer=1)]
        >>> vlm.next_token(stimulus, [arm]).shape[0]
        1
    """
    check_alike(stimulus, donor)
    chosen = numbers(tokens)
    if layer and (later := [at for at in stimulus.injected if at > layer]):
        raise LackingError(
            f"More of the picture is added before layer {later[0]}, which would be the stimulus's "
            f"own and not the donor's. Patch at layer 0, or from layer {max(later)} on."
        )
    if layer:
        return Ablate(chosen, vlm.hidden_states(donor, chosen)[layer], layer)
    added = [donor.injected[at] for at in sorted(donor.injected)]
    whole = torch.cat([donor.embeddings, *added], dim=-1)
    return Ablate(chosen, whole[chosen])


def check_alike(stimulus: Stimulus, donor: Stimulus) -> None:
    """See that two stimuli are laid out alike: as long, with as many tokens in each part of the
    prompt, and their visual tokens on the same grids.

    **Raises:** `LackingError` that names the first part which differs; an image may lack a donor.

    !!! example

        >>> check_alike(stimulus, vlm.read(image.rotate(180), "Is there a cat in this image?"))
    """
    ours, theirs = _layout(stimulus), _layout(donor)
    for part, own in ours.items():
        if theirs[part] != own:
            raise LackingError(
                f"The donor is laid out otherwise: its {part} is {theirs[part]}, and the "
                f"stimulus's {own}. Take a picture of the same size and a question with as many "
                "tokens."
            )


def _layout(stimulus: Stimulus) -> dict[str, object]:
    try:
        parts = {f"{name} span": len(each) for name, each in stimulus.spans.items()}
    except VLMError:  # of a question that cannot be read back, the whole is held against the whole
        parts = {}
    return {
        "length": len(stimulus.embeddings),
        **parts,
        "visual tokens": stimulus.visual.tolist(),
        "grids": [*map(tuple, stimulus.grids)],
        "injections": sorted(stimulus.injected),
    }

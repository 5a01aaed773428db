"""The mean visual token over a set of images: what mean ablation puts in a token's place."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from vlmlib.errors import VLMError
from vlmlib.model import VLM


def mean_embedding(vlm: VLM, images: Iterable[Image.Image]) -> Float[Tensor, " d_model"]:
    """The mean of all visual tokens of all images, at the input of the language model (section 3).

    Images are read one after the other and summed in double precision, so any number of them fits into memory.

    **Arguments:** a model; images (the paper took 50,000 of ImageNet's validation split).

    **Returns:** `[d_model]`, in the type and on the device of the model.

    **Raises:** `VLMError` if there is no image.

    !!! example

        >>> mean_embedding(vlm, [image, image]).shape[0] == vlm.d_model
        True
    """
    total = torch.zeros(vlm.d_model, dtype=torch.float64)
    count = 0
    for image in tqdm(images, desc="mean embedding", unit="image", leave=False, disable=None):
        stimulus = vlm.read(image, "")
        visual = stimulus.embeddings[stimulus.visual]
        total += visual.double().sum(0).cpu()
        count += len(visual)
    if not count:
        raise VLMError("mean_embedding was given no image. Pass at least one.")
    return (total / count).to(vlm.device, vlm.model.dtype)

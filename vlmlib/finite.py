"""Numbers that are none: what a model computes on one image may be NaN or infinite."""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vlmlib.errors import ImageError
from vlmlib.interventions import Arm

WIDER = (
    'Load the model in a type of wider range (dtype="bfloat16" or "float32"); where it runs in one '
    "already, look for NaN and for what is very large in its weights and in the picture."
)
NOT_FINITE = (
    -1
)  # stands in a description for the token that logits which are not finite do not name


def check_finite(what: str, values: Float[Tensor, "arm ..."], arms: Sequence[Arm]) -> None:
    """See that numbers are finite: in one look, and a second one where some are not.

    **Arguments:** what they are; the numbers, a row per arm; the arms.

    **Raises:** `ImageError` that names the first arm at fault.

    !!! example

        >>> check_finite("The logits", torch.zeros(1, 5), [[]])
    """
    if not values.numel():
        return
    # NaN is the least and the most of numbers, and this look the cheapest
    least, most = torch.aminmax(values)
    if not bool(least.isfinite() & most.isfinite()):
        raise not_finite(what, values.isfinite().flatten(1).all(1).tolist(), arms)


def check_said(what: str, said: Sequence[Sequence[int]], arms: Sequence[Arm]) -> None:
    """See that every token of some descriptions was named by logits that are finite.

    **Raises:** `ImageError` that names the first arm at fault.

    !!! example

        >>> check_said("The logits of a description", [[5, 7]], [[]])
    """
    finite = [NOT_FINITE not in ids for ids in said]
    if not all(finite):
        raise not_finite(what, finite, arms)


def not_finite(what: str, finite: Sequence[bool], arms: Sequence[Arm]) -> ImageError:
    """The error that says after which arm numbers are not finite.

    !!! example

        >>> str(not_finite("The logits", [False], [[]]))[:47]
        'The logits are not finite after the clean run. '
    """
    number = finite.index(False)
    kinds = ", ".join(dict.fromkeys(type(each).__name__ for each in arms[number]))
    arm = f"arm {number + 1} of {len(arms)} ({kinds})" if kinds else "the clean run"
    return ImageError(f"{what} are not finite after {arm}. {WIDER}")


def likeliest(logits: Float[Tensor, "row vocab"]) -> Int[Tensor, " row"]:
    """The likeliest token of each row, `NOT_FINITE` where there is none.

    !!! example

        >>> likeliest(torch.tensor([[1.0, 3.0], [2.0, torch.nan]])).tolist()
        [1, -1]
    """
    tokens = logits.argmax(-1)
    # NaN counts as the largest of numbers, so that this one tells of all
    largest = logits.gather(-1, tokens[:, None])[:, 0]
    return tokens.where(largest.isfinite(), torch.full_like(tokens, NOT_FINITE))

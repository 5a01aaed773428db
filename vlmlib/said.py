"""What a model says first, and how sure it stays of that under arms: a readout that needs no right
answer (Zhang et al. 2024)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from vlmlib.interventions import Arm
from vlmlib.model import VLM
from vlmlib.stimulus import Stimulus


@dataclass(frozen=True)
class Said:
    """How an arm leaves one token.

    - `token`, its `text`; `probability`; `log_probability`.
    - `margin`: its logit, less the largest of all others: above 0 the arm still says it.

    !!! example

        >>> Said(7, "dog", 0.5, -0.69, 1.5).says
        True
    """

    token: int
    text: str
    probability: float
    log_probability: float
    margin: float

    @property
    def says(self) -> bool:
        """Whether the arm's likeliest token is this one."""
        return self.margin > 0


def first_said(
    vlm: VLM, stimulus: Stimulus, arms: Sequence[Arm], token: int | None = None
) -> list[Said]:
    """What becomes, under every arm, of the token that the model itself says first.

    **Arguments:** a stimulus; arms; `token`: of another one, such as the right answer's
    (`vlm.first_token`).

    !!! example

        >>> clean, blind = first_said(vlm, stimulus, [[], [Block(stimulus.visual, 27, [0, 1])]])
        >>> clean.says, clean.token == blind.token
        (True, True)
    """
    if token is not None:
        return of_token(vlm, vlm.next_token(stimulus, arms), token)
    clean, *_ = logits = vlm.next_token(stimulus, [[], *arms])
    return of_token(vlm, logits[1:], int(clean.argmax()))


def of_token(vlm: VLM, logits: Float[Tensor, "arm vocab"], token: int) -> list[Said]:
    """The same of logits that are there.

    !!! example

        >>> logits = vlm.next_token(stimulus, [[]])
        >>> of_token(vlm, logits, int(logits[0].argmax()))[0].margin > 0
        True
    """
    wide = logits.float()
    logs = wide.log_softmax(-1)[:, token]
    others = wide.index_fill(1, torch.tensor([token], device=wide.device), -torch.inf)
    margins = wide[:, token] - others.max(-1).values
    text = vlm.processor.tokenizer.decode([token]).strip()
    found = zip(logs.exp().tolist(), logs.tolist(), margins.tolist(), strict=True)
    return [Said(token, text, *each) for each in found]

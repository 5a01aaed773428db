"""What a model is asked about each image: to name an object, and whether an object is there, of one
that the image shows and of one that it does not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from vlmlib import VLM
from vlmlib.interventions import Arm
from vlmlib.stimulus import Stimulus
from vlmlib.study import Example
from vlmlib.tasks import VQA, Answer, Polling, answers

NAMING, SHOWN, ABSENT = TASKS = "naming", "polling, object shown", "polling, object not shown"
POLLING = "polling"  # both of these


@dataclass(frozen=True)
class Told:
    """A task by its name. Naming asks VQA's question about the target and begins its answer;
    polling, whether the target's category is there: yes, if the example has such an object."""

    name: str

    def read(self, vlm: VLM, example: Example) -> Stimulus | None:
        """The question about the picture; None where no category is known to ask about."""
        return self._question(example).read(vlm, example.image) if example.category else None

    def ask(
        self, vlm: VLM, example: Example, stimulus: Stimulus, arms: Sequence[Arm]
    ) -> list[Answer]:
        """See `ahead`."""
        logits = vlm.next_token(stimulus, arms)
        rights = self._question(example).correct(vlm, stimulus, logits).tolist()
        return ahead(vlm, logits, rights)

    def _question(self, example: Example) -> VQA | Polling:
        if self.name == NAMING:
            return VQA(example.questions[0], example.category)
        return Polling(example.category, present=bool(example.targets))


def ahead(vlm: VLM, logits: Float[Tensor, "arm vocab"], rights: Sequence[bool]) -> list[Answer]:
    """Answers with the probability of what the clean run says first beside that of the best other
    token alone, p / (p + q). It is above a half where that is still said first, and its log odds
    are the margin: by how much the one logit is above the other.

    **Arguments:** of each arm, the clean run first; whether each arm's answer is right.
    """
    wide = logits.double()
    said = int(wide[0].argmax())
    others = wide.clone()
    others[:, said] = -torch.inf
    shares = (wide[:, said] - others.max(-1).values).sigmoid().tolist()
    told = answers(vlm, logits, rights, said)
    return [replace(each, probability=share) for each, share in zip(told, shares, strict=True)]

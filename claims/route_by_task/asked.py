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
SCALE = 8  # of a margin this part is kept as log odds: a probability holds no more than 34


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
        """What the model answers, with the margin of the right answer as a probability.

        The margin is by how much the logit of Yes is above that of No, or No's above Yes's: so that
        leaning to either takes from one class what it gives to the other. Where an object is named,
        it is the name's beside the best other token's. Its `SCALE`-th part is kept as log odds.
        """
        question, logits = self._question(example), vlm.next_token(stimulus, arms)
        rights = question.correct(vlm, stimulus, logits).tolist()
        right, other = self._answers(vlm, stimulus, question)
        told = answers(vlm, logits, rights, right)
        margins = margins_of(logits, right, other)
        return [
            replace(each, probability=share)
            for each, share in zip(told, (margins / SCALE).sigmoid().tolist(), strict=True)
        ]

    def _question(self, example: Example) -> VQA | Polling:
        if self.name == NAMING:
            return VQA(example.questions[0], example.category)
        return Polling(example.category, present=bool(example.targets))

    def _answers(
        self, vlm: VLM, stimulus: Stimulus, question: VQA | Polling
    ) -> tuple[int, int | None]:
        """The right answer's token, and the other's where there are two."""
        if isinstance(question, VQA):
            return vlm.first_token(stimulus, question.answer), None
        yes, no = (vlm.first_token(stimulus, each) for each in ("Yes", "No"))
        return (yes, no) if question.present else (no, yes)


def margins_of(
    logits: Float[Tensor, "arm vocab"], right: int, other: int | None
) -> Float[Tensor, " arm"]:
    """By how much one token's logit is above another's; above the best other one's, if None.

    !!! example

        >>> margins_of(torch.tensor([[3.0, 1.0, 2.0]]), right=0, other=1).tolist()
        [2.0]
        >>> margins_of(torch.tensor([[3.0, 1.0, 2.0]]), right=0, other=None).tolist()
        [1.0]
    """
    wide = logits.double()
    others = wide.clone()
    others[:, right] = -torch.inf
    beside = others.max(-1).values if other is None else wide[:, other]
    return wide[:, right] - beside

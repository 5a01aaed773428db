"""What the logit lens shows at the last position, layer by layer: when an answer appears there, and
in which letters (the paper's last figures)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from claimlib import Clustered
from claims.zhang2025.asked import FirstSaid
from vlmlib import VLM
from vlmlib.finite import check_finite
from vlmlib.study import Example, Finished, Row

# How a hidden state is decoded: as the authors do, without the model's final norm, and with it.
RAW, NORMED = READOUTS = "without the final norm", "with the final norm"
OWN, LOWER, CAPITAL = "own", "lower", "capital"


def shown(
    vlm: VLM, mean: Float[Tensor, " d_model"], example: Example, task: FirstSaid
) -> list[Row]:
    """The probabilities of a few tokens at the last position after each layer: of the one that the
    model says first, and of the answer's first token in small and in capital letters.

    The row's detail has them by how they are decoded and by token; a form that begins as the other
    one does is left out.
    """
    stimulus = task.read(vlm, example)
    [clean] = task.ask(vlm, example, stimulus, [[]])
    own = int(vlm.next_token(stimulus, [[]])[0].argmax())
    answer = example.known["answer"]
    forms = {
        LOWER: vlm.first_token(stimulus, answer.lower()),
        CAPITAL: vlm.first_token(stimulus, answer[:1].upper() + answer[1:]),
    }
    if forms[LOWER] == forms[CAPITAL]:
        forms = {}
    tokens = {OWN: own, **forms}
    hidden = vlm.hidden_states(stimulus, stimulus.last)[:, 0]
    decoded = {
        # what leaves the last layer is normed, however it is decoded
        RAW: torch.cat([vlm.head(hidden[:-1]), vlm.head(vlm.decoder.norm(hidden[-1:]))]),
        NORMED: vlm.head(vlm.decoder.norm(hidden)),
    }
    for logits in decoded.values():
        check_finite("The logits of the lens", logits.float().softmax(-1)[None], [[]])
    probabilities = {how: logits.float().softmax(-1) for how, logits in decoded.items()}
    detail = {
        how: {name: each[:, token].tolist() for name, token in tokens.items()}
        for how, each in probabilities.items()
    }
    told = {"visual": len(stimulus.visual), "says": clean.text, "own form": _form(own, forms)}
    return [Row("clean", clean.right, clean.probability, 0, clean.text, {**told, **detail})]


def _form(own: int, forms: dict[str, int]) -> str:
    return next((name for name, token in forms.items() if token == own), "")


@dataclass(frozen=True, eq=False)
class Shown:
    """What the lens shows of one task's questions that count."""

    found: Sequence[Finished]

    @classmethod
    def of(cls, found: Sequence[Finished]) -> "Shown":
        """Of those that the model is right on."""
        return cls([each for each in found if each.rows and each.rows[0].right])

    def curve(self, how: str, token: str = OWN) -> Clustered:
        """The probability of a token after each layer, the embeddings first; of the questions that
        have it."""
        kept = [each for each in self.found if token in each.rows[0].detail[how]]
        values = np.array([each.rows[0].detail[how][token] for each in kept], float)
        return Clustered(values.reshape(len(kept), -1), [each.cluster for each in kept])

    def capitalised(self) -> "Shown":
        """The questions that the model itself answers in capital letters."""
        return Shown([each for each in self.found if each.rows[0].detail["own form"] == CAPITAL])

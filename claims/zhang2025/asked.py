"""One question about a picture, and how a model is asked it: what it says first is what arms may
take away (Zhang et al. 2024)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from vlmlib import VLM
from vlmlib.interventions import Arm
from vlmlib.stimulus import Stimulus
from vlmlib.study import Example, Object
from vlmlib.tasks import Answer, answers

Box = tuple[float, float, float, float]  # left, top, width, height, in pixels
MOST_TOKENS = 10  # of a whole answer, which is a word or two


def question(
    id: str,
    picture: Path | Image.Image,
    image: str,
    size: tuple[int, int],
    boxes: Iterable[tuple[str, Box]],
    text: tuple[str, str, str],
    answer: str,
    whole: bool,
) -> Example:
    """A question as an example, of a cluster with all others about its image.

    **Arguments:** `size`: (height, width) of the picture; the objects asked about that it shows;
    `text`: question, what follows it in the same turn, and the beginning of the model's answer;
    `whole`: whether the model's whole answer must be the right one, or its first token.
    """
    objects = [Object(name, [_corners(*box)], size, box[2] * box[3]) for name, box in boxes]
    asked, suffix, prefill = text
    known = {"suffix": suffix, "prefill": prefill, "answer": answer, "whole": whole, "size": size}
    return Example(id, picture, objects, questions=(asked,), cluster=image, known=known)


def _corners(left: float, top: float, width: float, height: float) -> list[float]:
    right, bottom = left + width, top + height
    return [left, top, right, top, right, bottom, left, bottom]


@dataclass(frozen=True)
class FirstSaid:
    """The task of saying an answer: `name` is the paper's name of the kind of question.

    The probability is that of the token which the model itself says first when nothing is changed;
    an arm leaves the answer right if it still says that. The first arm must be the clean run.
    """

    name: str

    def read(self, vlm: VLM, example: Example) -> Stimulus:
        """The question with what belongs to it, about the picture."""
        known = example.known
        return vlm.read(example.image, example.questions[0], known["prefill"], known["suffix"])

    def ask(
        self, vlm: VLM, example: Example, stimulus: Stimulus, arms: Sequence[Arm]
    ) -> list[Answer]:
        """What becomes of the first token; the clean run alone also tells whether it is right."""
        logits = vlm.next_token(stimulus, arms)
        said = logits.argmax(-1).tolist()
        rights = [token == said[0] for token in said]
        if not any(arms):
            rights = [self._is_right(vlm, example, stimulus, said[0])] * len(arms)
        return answers(vlm, logits, rights, said[0])

    def _is_right(self, vlm: VLM, example: Example, stimulus: Stimulus, said: int) -> bool:
        answer = example.known["answer"]
        if not example.known["whole"]:
            return said == vlm.first_token(stimulus, answer)
        [text] = vlm.describe(stimulus, [[]], MOST_TOKENS)
        return text.strip().lower() == answer

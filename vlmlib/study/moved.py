"""Whether an arm moved an answer, by more than the same run repeated does."""

from collections.abc import Sequence

import torch

from vlmlib.tasks import Answer

# A change counts from so many times the largest of a repeated run: that is one number, of which
# few repeats are seen, so that it can be small by chance.
TIMES = 10
LOGIT = 32  # as large as logits are, whose rounding is relative
SOFTMAX = torch.finfo(torch.float32).eps  # in which probabilities are told


def moved(
    clean: Answer, repeats: Sequence[Answer], answers: Sequence[Answer], rounding: float
) -> list[bool]:
    """Whether each answer's probability is another than the clean run's, by more than ten times
    what repeats of that show, and by more than rounding does: of logits, of which it changes with
    p (1 - p), and of itself.

    Where there is no probability, whether the text is another; nothing is seen by that if the text
    of a repeat is another, too.

    **Arguments:** the answers of the clean run, of runs that change nothing, and of arms;
    `rounding`: the relative step between numbers of the model's type.

    !!! example

        >>> clean, again, same, other = (Answer("dog", None, p) for p in (0.5, 0.501, 0.504, 0.6))
        >>> moved(clean, [again], [same, other], rounding=1e-7)
        [False, True]
        >>> moved(Answer("A dog."), [Answer("A dog.")], [Answer("A cat.")], rounding=1e-7)
        [True]
    """
    texts_repeat = all(each.text == clean.text for each in repeats)
    noise = max((_change(clean, each) or 0.0 for each in repeats), default=0.0)
    p = clean.probability or 0.0
    tolerance = max(TIMES * max(noise, SOFTMAX * p), LOGIT * rounding * p * (1 - p))
    changes = [_change(clean, each) for each in answers]
    return [
        texts_repeat and each.text != clean.text if change is None else change > tolerance
        for each, change in zip(answers, changes, strict=True)
    ]


def near_ties(clean: Answer, repeats: Sequence[Answer], answers: Sequence[Answer]) -> int:
    """How many answers have their two likeliest tokens no further apart than repeats of the clean
    run move that distance: rounding may decide which of them is said. None are seen in texts.

    !!! example

        >>> clean, again, near, far = (Answer("dog", None, 0.5, lead) for lead in (3, 3.1, 0.05, 2))
        >>> near_ties(clean, [again], [near, far])
        1
    """
    leads = [each.lead for each in (clean, *repeats, *answers)]
    known = [lead for lead in leads if lead is not None]
    if len(known) < len(leads):
        return 0
    first, again, others = known[0], known[1 : len(repeats) + 1], known[len(repeats) + 1 :]
    noise = max((abs(lead - first) for lead in again), default=0.0)
    return sum(lead <= noise for lead in others)


def _change(clean: Answer, answer: Answer) -> float | None:
    if clean.probability is None or answer.probability is None:
        return None
    return abs(answer.probability - clean.probability)

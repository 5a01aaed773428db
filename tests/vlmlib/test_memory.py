"""Running out of a device's memory.

Fails if a run is given up that would fit in smaller passes, if its result is another, if the next
run tries again what did not fit, or if an error that is none of memory's is swallowed.
"""

import pytest
import torch

from tests.tiny import picture, tiny_vlm
from vlmlib import Ablate, VLMError, integrated_gradients
from vlmlib.memory import Memory


def holding(limit: int, asked: list[int]):
    def run(max_tokens: int) -> int:
        asked.append(max_tokens)
        if max_tokens > limit:
            raise torch.OutOfMemoryError("out of memory: tried to allocate 2.00 GiB")
        return max_tokens

    return run


def test_passes_are_halved_until_they_fit_and_stay_so():
    memory, asked = Memory(), []
    for max_tokens, expected in ((1000, 250), (1000, 250), (100, 100)):
        assert memory.within(holding(300, asked), max_tokens, "plain") == expected
    assert asked == [1000, 500, 250, 250, 100]
    assert memory.within(holding(2000, asked), 1000, "gradients") == 1000


def test_what_does_not_fit_at_all_is_said():
    with pytest.raises(VLMError, match=r"does not hold .*2\.00 GiB.*larger card"):
        Memory().within(holding(0, []), 1000, "plain")


def test_other_errors_are_not_memorys():
    def run(max_tokens: int) -> int:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        Memory().within(run, 1000, "plain")


@pytest.mark.slow
@pytest.mark.parametrize("ask", ["next_token", "describe", "describe_each", "gradients"])
def test_a_model_that_runs_out_says_the_same_in_smaller_passes(ask):
    """The device is planted: a pass of more than 60 positions runs out."""
    vlm = tiny_vlm()
    stimulus = vlm.read(picture(), "Describe")
    arms = [[], *([Ablate([token], torch.zeros(vlm.d_model))] for token in range(1, 9))]

    def asked():
        if ask == "describe_each":
            return vlm.describe_each([stimulus] * 3, 4, max_tokens=1000)
        if ask == "gradients":
            signed = integrated_gradients(vlm, stimulus, 3, torch.zeros(16), 8, max_tokens=1000)
            return [round(each, 4) for each in signed.signed.tolist()]
        answers = getattr(vlm, ask)(stimulus, arms, max_tokens=1000)
        return answers if isinstance(answers, list) else answers.argmax(-1).tolist()

    expected = asked()

    def run_out(_module, args) -> None:
        if args[0].shape[:2].numel() > 60 or args[0].shape[:2] == (7, 1):
            raise torch.OutOfMemoryError("out of memory")

    hook = vlm.decoder.layers[0].register_forward_pre_hook(run_out)
    try:
        assert asked() == expected
    finally:
        hook.remove()
    assert [most < 1000 for most in vlm.memory.most.values()] == [True]

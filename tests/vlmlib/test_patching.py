"""Activation patching: is what is patched the donor's, at its own place?

Fails if a stimulus patched from itself changes, if all of a donor at any layer does not give the
donor's answer, or if a donor of another layout is taken.
"""

import pytest
import torch

from tests.families.common import granite4_vision
from tests.texts import tiny_gemma3
from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import VLM, LackingError, patch

MODELS = {"llava": tiny_vlm, "three axes": tiny_qwen, "later ones seen": tiny_gemma3}
quiet = pytest.mark.filterwarnings("ignore:.*cannot share work:UserWarning")


@quiet
@pytest.mark.parametrize("name", MODELS)
def test_all_of_a_donor_gives_its_answer_and_of_itself_nothing(name):
    vlm = MODELS[name]()
    stimulus, donor = (vlm.read(picture(seed), "Is it?") for seed in (0, 1))
    every = range(len(stimulus.embeddings))
    own, other = vlm.next_token(stimulus, [[]]), vlm.next_token(donor, [[]])
    for layer in vlm.layers:
        itself, whole = ([patch(vlm, stimulus, each, every, layer)] for each in (stimulus, donor))
        found = vlm.next_token(stimulus, [itself, whole])
        torch.testing.assert_close(found[:1], own, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(found[1:], other, rtol=1e-4, atol=1e-5)


def test_the_picture_alone_gives_the_donors_answer_to_one_question():
    vlm = tiny_vlm()
    stimulus, donor = (vlm.read(picture(seed), "Is it?") for seed in (0, 1))
    found = vlm.next_token(stimulus, [[patch(vlm, stimulus, donor, stimulus.visual)]])
    torch.testing.assert_close(found, vlm.next_token(donor, [[]]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("question", "prefill", "told"),
    [
        ("Is it so?", "", r"its length is \d+"),
        ("Is", "so", r"its question span is 1, and the stimulus's 3"),
    ],
)
def test_a_donor_that_is_laid_out_otherwise_is_refused(question, prefill, told):
    vlm = tiny_vlm()
    stimulus, donor = vlm.read(picture(), "Is it"), vlm.read(picture(), question, prefill)
    with pytest.raises(LackingError, match=told):
        patch(vlm, stimulus, donor, stimulus.visual)


def test_a_donor_of_another_grid_is_refused():
    vlm = tiny_qwen()
    wide, high = (vlm.read(picture(size=size), "Is it?") for size in ((56, 28), (28, 56)))
    assert len(wide.embeddings) == len(high.embeddings)
    with pytest.raises(LackingError, match="its grids is"):
        patch(vlm, wide, high, wide.visual)


@quiet
@pytest.mark.newer
def test_what_a_picture_adds_later_is_the_donors_or_refused():
    """At layer 0 all of it is patched; in between it would be a mix of two pictures."""
    vlm = VLM(*granite4_vision())
    stimulus, donor = (vlm.read(picture(seed, (24, 24)), "Is it?") for seed in (0, 1))
    assert stimulus.injected
    whole = patch(vlm, stimulus, donor, range(len(stimulus.embeddings)))
    expected = vlm.next_token(donor, [[]])
    torch.testing.assert_close(vlm.next_token(stimulus, [[whole]]), expected, rtol=1e-4, atol=1e-5)
    last, every = max(stimulus.injected), range(len(stimulus.embeddings))
    for layer in range(1, len(vlm.layers)):
        if layer < last:
            with pytest.raises(LackingError, match="which would be the stimulus's own"):
                patch(vlm, stimulus, donor, every, layer)
        elif layer not in vlm.decoder.closed:
            found = vlm.next_token(stimulus, [[patch(vlm, stimulus, donor, every, layer)]])
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)

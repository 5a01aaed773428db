"""Attention received: is it what the model's own attention gives, on any backend?

Fails if another head's, layer's or query's weights are told, if a backend changes them, or if the
model is left in another way to attend.
"""

import pytest
import torch

from tests.tiny import picture, tiny_qwen, tiny_vlm
from vlmlib import VLMError, attention_received


@pytest.mark.parametrize("make", [tiny_vlm, tiny_qwen])
def test_it_is_what_the_models_own_attention_gives(make):
    vlm = make("eager")
    stimulus = vlm.read(picture(), "Is it?")
    with torch.no_grad():
        own = vlm.model(**stimulus.inputs, output_attentions=True).attentions
    for by in ([stimulus.last], [3, 5]):
        expected = torch.stack([each[0][:, by].mean((0, 1)) for each in own])
        found = attention_received(vlm, stimulus, by)
        torch.testing.assert_close(found, expected)
        torch.testing.assert_close(found.sum(1), torch.ones(len(vlm.layers)))
    torch.testing.assert_close(
        attention_received(vlm, stimulus), attention_received(vlm, stimulus, stimulus.last)
    )


def test_a_backend_without_weights_tells_the_same_and_stays():
    fused, eager = tiny_vlm("sdpa"), tiny_vlm("eager")
    found = attention_received(fused, fused.read(picture(), "Is it?"))
    torch.testing.assert_close(found, attention_received(eager, eager.read(picture(), "Is it?")))
    assert fused.model.config.text_config._attn_implementation == "sdpa"


def test_a_position_outside_is_refused():
    vlm = tiny_vlm()
    with pytest.raises(VLMError, match="position 99 is outside"):
        attention_received(vlm, vlm.read(picture(), "Is it?"), 99)


def test_no_position_gives_no_attention():
    vlm = tiny_vlm()
    with pytest.raises(VLMError, match="about no position"):
        attention_received(vlm, vlm.read(picture(), "Is it?"), [])

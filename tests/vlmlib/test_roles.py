"""The parts of a language model by their roles.

Fails if another part is taken for one, if a part is found by its name alone, or if a layer without
attention passes for one that has it.
"""

from typing import Any

import pytest
import torch
from torch import nn

from tests.texts import llava_around
from tests.tiny import picture, tiny_processor, tiny_qwen, tiny_vlm
from vlmlib import VLM, Block, VLMError
from vlmlib.roles import decoder_of


class Renamed(nn.Module):
    """A module's parts under other names; it does what the module does."""

    def __init__(self, module: nn.Module):
        super().__init__()
        self.forward = module.forward
        self.config = getattr(module, "config", None)
        for number, child in enumerate(module.children()):
            self.add_module(f"part_{number}", child)

    def get_input_embeddings(self) -> nn.Module:
        return next(child for child in self.children() if isinstance(child, nn.Embedding))


@pytest.mark.parametrize("make", [tiny_vlm, tiny_qwen])
def test_the_parts_are_those_that_transformers_names(make):
    model = make().model
    stack, found = model.model.language_model, decoder_of(model)
    assert found.stack is stack
    assert found.norm is stack.norm
    assert list(found.layers) == list(stack.layers)
    assert list(found.attentions) == [layer.self_attn for layer in stack.layers]
    assert found.embed is stack.embed_tokens
    assert found.unembed is model.lm_head


@pytest.mark.parametrize("make", [tiny_vlm, tiny_qwen])
def test_names_do_not_matter(make):
    model = make().model
    before = decoder_of(model)
    layers = nn.ModuleList(Renamed(layer) for layer in before.layers)
    stack = Renamed(before.stack)
    for name, child in list(stack.named_children()):
        if isinstance(child, nn.ModuleList):
            setattr(stack, name, layers)
    model.model.language_model = stack
    found = decoder_of(model)
    assert found.stack is stack
    assert found.norm is before.norm
    assert list(found.layers) == list(layers)
    assert list(found.attentions) == list(before.attentions)


def test_a_layer_without_attention_can_be_everything_but_blocked():
    """One whose attention is a mean over earlier positions, which takes no mask of edges."""
    vlm = tiny_vlm()
    stack: Any = vlm.decoder.stack
    stack.layers[0].self_attn = Mean()
    with pytest.warns(UserWarning, match="cannot share work on this model, since layer 0 has no"):
        hybrid = VLM(vlm.model, tiny_processor())
    assert [each is None for each in hybrid.decoder.attentions] == [True, False]
    assert not hybrid.shares
    stimulus = hybrid.read(picture(), "Is there a dog?")
    with pytest.raises(VLMError, match=r"in layer 0, which has no self-attention\..*have: 1\."):
        hybrid.next_token(stimulus, [[Block([1], to=5, layers=[0, 1])]])
    clean, blocked = hybrid.next_token(stimulus, [[], [Block([1], to=stimulus.last, layers=[1])]])
    own = hybrid.model(**stimulus.inputs, logits_to_keep=1).logits[0, -1]
    assert torch.equal(clean, own)
    assert not torch.equal(clean, blocked)
    assert len(hybrid.describe(stimulus, [[]], max_new_tokens=3)) == 1
    assert len(hybrid.hidden_states(stimulus, stimulus.visual)) == 3


@pytest.mark.parametrize("kind", ["olmo", "nanochat"])
def test_a_final_norm_may_have_no_weights(kind):
    """The second norms its embeddings by it, too."""
    vlm = llava_around({"model_type": kind})
    assert vlm.decoder.norm is vlm.model.model.language_model.norm
    assert (vlm.report().refused, vlm.report().wrong) == ([], [])
    stimulus = vlm.read(picture(), "Is there a dog?")
    entering = vlm.hidden_states(stimulus, stimulus.last)
    assert len(entering) == len(vlm.layers) + 1
    own = vlm.model(**stimulus.inputs, logits_to_keep=1).logits[0, -1]
    assert torch.equal(vlm.decoder.unembed(vlm.decoder.norm(entering[-1]))[0], own)


@pytest.mark.parametrize(
    "strange", [nn.Identity(), nn.Dropout(), nn.Tanh(), nn.Softmax(-1)], ids=str
)
def test_what_norms_nothing_is_no_final_norm(strange):
    model = tiny_vlm().model
    model.model.language_model.norm = strange
    with pytest.raises(VLMError, match="no norm after its last layer"):
        decoder_of(model)


class Mean(nn.Module):
    """Each position is given the mean of those up to itself."""

    def forward(self, hidden_states, **_kwargs):
        count = torch.arange(1, hidden_states.shape[1] + 1)[:, None]
        return hidden_states.cumsum(1) / count, None

"""The parts of a language model by their roles.

Fails if another part is taken for one, if a part is found by its name alone, or if a layer without
attention passes for one that has it.
"""

from typing import Any

import pytest
import torch
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    PreTrainedModel,
)

from tests.families.early import idefics, kosmos2_5
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


@pytest.mark.slow
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


SMALL: dict[str, dict[str, Any]] = {
    "gpt2": {"n_layer": 2, "n_head": 2, "n_embd": 16},
    "gptj": {"n_layer": 2, "n_head": 2, "n_embd": 16, "rotary_dim": 4},
    "opt": {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "ffn_dim": 16},
}


def text_model(name: str, **settings: Any) -> PreTrainedModel:
    config = AutoConfig.for_model(name, vocab_size=64, **settings)
    return AutoModelForCausalLM.from_config(config)


@pytest.mark.parametrize("name", SMALL)
def test_what_could_cross_attend_and_does_not_is_taken(name):
    """GPT-2's attention has a parameter for it, whose settings say no."""
    found = decoder_of(text_model(name, **SMALL[name]))
    assert len(found.layers) == len(found.attentions) == 2


def test_what_cross_attends_is_refused():
    model = text_model("gpt2", **SMALL["gpt2"], add_cross_attention=True)
    with pytest.raises(VLMError, match=r"\(the first is layer 0\) read the image through cross-"):
        decoder_of(model)


@pytest.mark.parametrize(
    ("name", "settings", "why"),
    [
        ("xglm", {"num_layers": 2, "attention_heads": 2}, r"none of its 2 layers has an attention"),
        ("bloom", {"n_layer": 3, "n_head": 2}, r"none of its 3 layers has an attention that is kn"),
        ("longcat_flash", {"num_layers": 2}, r"a list of 4 layers.* \(lists there: 2\)"),
    ],
)
def test_what_is_not_known_as_a_stack_is_refused_with_the_reason(name, settings, why):
    """Attention of another make, and two of them in one layer."""
    with torch.device("meta"):
        model = text_model(name, **settings)
    with pytest.raises(VLMError, match=why):
        decoder_of(model)


class Several(PreTrainedModel):
    """Two models side by side, with no embedding of their own."""

    _supports_sdpa = True

    def __init__(self, reads: PreTrainedModel):
        super().__init__(reads.config)
        self.reads, self.speaks = reads, nn.Identity()

    def get_input_embeddings(self) -> nn.Module:
        raise NotImplementedError


def test_of_a_model_of_several_the_part_to_wrap_is_told():
    with pytest.raises(VLMError, match=r"no embedding .* its own; wrap .*: reads \(LlavaForCon"):
        decoder_of(Several(tiny_vlm().model))


STREAMS: dict[str, Any] = {
    "model_type": "gemma3n_text",
    "vocab_size_per_layer_input": 64,
    "hidden_size_per_layer_input": 4,
    "altup_num_inputs": 2,
    "laurel_rank": 4,
    "num_kv_shared_layers": 0,
    "activation_sparsity_pattern": [0.0, 0.0],
    "layer_types": ["full_attention"] * 2,
    "intermediate_size": [32, 32],
    "head_dim": 4,
}


def test_several_streams_side_by_side_are_refused_by_their_shape():
    with pytest.raises(VLMError, match=r"hidden states of shape \[2, 1, \d+, 16\], where one str"):
        llava_around(STREAMS)


def test_an_encoder_beside_a_decoder_is_told_before_anything_is_asked(monkeypatch):
    """Some such models have no embedding of tokens that can be asked for."""
    model = tiny_vlm().model

    def nothing() -> None:
        raise NotImplementedError

    monkeypatch.setattr(model, "get_input_embeddings", nothing)
    model.config.is_encoder_decoder = True
    with pytest.raises(VLMError, match="reads pictures in an encoder and answers in a decoder"):
        decoder_of(model)


def test_a_model_with_layers_between_its_own_that_cross_is_refused():
    with pytest.raises(VLMError, match=r"gated_cross_attn_layers.* through cross-attention"):
        decoder_of(idefics()[0])


def test_what_cross_attends_apart_from_its_embedding_is_refused():
    """BLIP's layers are not beside its embedding, of which nothing would tell."""
    part: dict[str, Any] = {"num_hidden_layers": 2, "hidden_size": 16, "intermediate_size": 32}
    text = {**part, "vocab_size": 64, "num_attention_heads": 2, "encoder_hidden_size": 16}
    config = AutoConfig.for_model(
        "blip", text_config=text, vision_config={**part, "num_attention_heads": 2, "image_size": 16}
    )
    with pytest.raises(VLMError, match=r"\(model type 'blip'\) .* through cross-attention"):
        decoder_of(AutoModelForImageTextToText.from_config(config))


@pytest.mark.newer
def test_an_attention_that_nobody_hands_another_sequence_does_not_cross():
    assert len(decoder_of(kosmos2_5()[0]).attending) == 4


class Holding(PreTrainedModel):
    """A model whose unembedding is that of a whole language model, which is a part of it."""

    _supports_sdpa = True

    def __init__(self, model: PreTrainedModel):
        super().__init__(model.config)
        self.language_model = model

    def get_input_embeddings(self) -> Any:
        return self.language_model.get_input_embeddings()

    def get_output_embeddings(self) -> None:
        return None


def test_the_unembedding_may_be_that_of_a_part():
    model = tiny_vlm().model
    found = decoder_of(Holding(model))
    assert found.unembed is model.lm_head
    assert found.stack is model.model.language_model


def test_what_unembeds_nowhere_is_refused():
    with pytest.raises(VLMError, match="it has no embedding of tokens, or no unembedding"):
        decoder_of(tiny_vlm().model.model)


class Mixing(nn.Module):
    """Weights of a norm's shape, which mix two streams."""

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Parameter(torch.ones(width))

    def forward(self, earlier, hidden_states):
        return self.query * earlier + hidden_states


def test_what_needs_more_than_hidden_states_is_no_final_norm():
    model = tiny_vlm().model
    stack: Any = model.model.language_model
    stack.mixing = Mixing(16)
    assert decoder_of(model).norm is stack.norm

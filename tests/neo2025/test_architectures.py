"""The paper's architectures: are they the published ones, and are their parameters and visual
tokens counted right?

Every part's size is worked out here from the published dimensions by the layers' formulas. Fails if
a dimension, a bias or a tie is wrong, if a parameter is counted in two parts or in none, or if an
image becomes another number of tokens.
"""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from claims.neo2025.architectures import CONFIGS, Parameters, build, parameters, visual_tokens
from tests.tiny import tiny_qwen, tiny_vlm
from vlmlib import VLMError
from vlmlib.roles import decoder_of


def linear(inputs: int, outputs: int) -> int:
    """Weights and biases."""
    return inputs * outputs + outputs


def llama(d_model: int, mlp: int, layers: int, vocab: int) -> int:
    """Embedding, layers of attention without biases, a gated feed-forward and two norms; the final
    norm."""
    return vocab * d_model + layers * (4 * d_model**2 + 3 * d_model * mlp + 2 * d_model) + d_model


def qwen2(d_model: int, mlp: int, layers: int, key_values: int, vocab: int) -> int:
    """As Llama, with fewer keys and values than queries, and biases on all three."""
    attention = linear(d_model, d_model) + 2 * linear(d_model, key_values) + d_model**2
    return vocab * d_model + layers * (attention + 3 * d_model * mlp + 2 * d_model) + d_model


def blocks(d: int, mlp: int, layers: int) -> int:
    """Attention, feed-forward and two layer norms, all with biases."""
    return layers * (4 * linear(d, d) + linear(d, mlp) + linear(mlp, d) + 4 * d)


# patches without biases, the class token, positions of 24 x 24 patches and that token, norms before
# and after
CLIP = 3 * 14 * 14 * 1024 + 1024 + (24 * 24 + 1) * 1024 + blocks(1024, 4096, layers=24) + 4 * 1024
EXPECTED = {
    "llava-1.5-7b": {
        "language_model": llama(4096, 11008, layers=32, vocab=32064),
        "unembedding": 32064 * 4096,
        "image_encoder": CLIP,
        "adapter": linear(1024, 4096) + linear(4096, 4096),
    },
    "llava-phi-3": {
        "language_model": llama(3072, 8192, layers=32, vocab=32064),
        "unembedding": 32064 * 3072,
        "image_encoder": CLIP,
        "adapter": linear(1024, 3072) + linear(3072, 3072),
    },
    "qwen2-vl-2b": {
        "language_model": qwen2(1536, 8960, layers=28, key_values=2 * 128, vocab=151936),
        "unembedding": 0,
        "image_encoder": 3 * 2 * 14 * 14 * 1280 + blocks(1280, 4 * 1280, layers=32),
        "adapter": 2 * 1280 + linear(4 * 1280, 4 * 1280) + linear(4 * 1280, 1536),
    },
}


@pytest.mark.parametrize("name", EXPECTED)
def test_each_part_has_the_parameters_of_its_published_dimensions(name):
    parts = EXPECTED[name]
    assert parameters(build(name)) == Parameters(total=sum(parts.values()), **parts)


def test_there_are_the_papers_three():
    assert list(CONFIGS) == list(EXPECTED)


@pytest.mark.parametrize(
    ("name", "billions", "with_unembedding", "without"),
    [
        ("llava-1.5-7b", 7.063, 95.4, 93.5),
        ("llava-phi-3", 4.137, 92.4, 90.0),
        ("qwen2-vl-2b", 2.209, 69.9, 69.9),
    ],
)
def test_the_language_models_share_depends_on_its_unembedding(
    name, billions, with_unembedding, without
):
    """On whether it counts."""
    counts = parameters(build(name))
    shares = [counts.language_model_share, counts.language_model / counts.total]
    assert round(counts.total / 1e9, 3) == billions
    assert [round(100 * share, 1) for share in shares] == [with_unembedding, without]


@pytest.mark.parametrize(
    ("name", "tokens"),
    [("llava-1.5-7b", 24 * 24), ("llava-phi-3", 24 * 24), ("qwen2-vl-2b", 17 * 23)],
)
def test_an_image_becomes_so_many_visual_tokens(name, tokens):
    assert visual_tokens(build(name)) == tokens


@pytest.mark.parametrize(
    ("name", "layers", "heads", "key_values", "d_model", "vocab", "epsilon", "image_token"),
    [
        ("llava-1.5-7b", 32, 32, 32, 4096, 32064, 1e-5, 32000),
        ("llava-phi-3", 32, 32, 32, 3072, 32064, 1e-5, 32038),
        ("qwen2-vl-2b", 28, 12, 2, 1536, 151936, 1e-6, 151655),
    ],
)
def test_the_decoder_has_the_published_form(
    name, layers, heads, key_values, d_model, vocab, epsilon, image_token
):
    model = build(name)
    decoder, text = decoder_of(model), model.config.get_text_config()
    assert (len(decoder.layers), decoder.heads, decoder.d_model, decoder.vocab) == (
        layers,
        heads,
        d_model,
        vocab,
    )
    assert (text.num_key_value_heads, text.rms_norm_eps) == (key_values, epsilon)
    assert model.config.image_token_id == image_token
    assert decoder.windows == [None] * layers


def test_qwens_positions_and_marks_are_the_published_ones():
    config = build("qwen2-vl-2b").config
    rope = config.get_text_config().rope_parameters
    assert (rope["rope_theta"], list(rope["mrope_section"])) == (1e6, [16, 24, 24])
    assert sum(rope["mrope_section"]) == 1536 // 12 // 2
    assert (config.vision_start_token_id, config.vision_end_token_id) == (151652, 151653)


@pytest.mark.parametrize("name", EXPECTED)
def test_nothing_is_allocated(name):
    model = build(name)
    assert {weight.device.type for weight in [*model.parameters(), *model.buffers()]} == {"meta"}


@pytest.mark.parametrize("tiny", [tiny_vlm, tiny_qwen])
def test_models_with_weights_are_counted_too_each_parameter_in_one_part(tiny):
    model = tiny().model
    counts = parameters(model)
    parts = [counts.language_model, counts.unembedding, counts.image_encoder, counts.adapter]
    assert sum(parts) == counts.total == sum(weight.numel() for weight in model.parameters())


def test_a_llavas_tokens_are_those_that_its_prompt_holds():
    vlm = tiny_vlm()
    assert visual_tokens(vlm.model) == vlm.model.config.image_seq_length == 16


def test_another_name_is_an_error_that_lists_the_papers():
    with pytest.raises(VLMError, match=r"'llava-13b'.*llava-1\.5-7b, llava-phi-3, qwen2-vl-2b"):
        build("llava-13b")


def test_a_model_that_is_none_of_the_papers_is_refused():
    with torch.device("meta"):
        model = LlamaForCausalLM(
            LlamaConfig(vocab_size=8, hidden_size=32, intermediate_size=8, num_hidden_layers=1)
        )
    with pytest.raises(VLMError, match="LlamaForCausalLM"):
        parameters(model)
    with pytest.raises(VLMError, match="LlamaForCausalLM is none"):
        visual_tokens(model)

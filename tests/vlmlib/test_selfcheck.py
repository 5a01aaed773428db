"""What is tried on a model when it is wrapped: planted models that must be trusted, run one arm at
a time, or refused.

Fails if a model whose image tokens attend to later ones shares work, if one whose attention ignores
masks, be it at visual tokens alone, is trusted, or if one without visual tokens in its sequence is
taken.
"""

import math
from typing import Any

import pytest
import torch
from transformers import (
    BlipConfig,
    BlipForConditionalGeneration,
    MllamaConfig,
    MllamaForConditionalGeneration,
    PaliGemmaConfig,
    PaliGemmaForConditionalGeneration,
    SiglipImageProcessorPil,
)

from tests.tiny import (
    PATCH,
    SIDE,
    ImageTextProcessor,
    picture,
    randomised,
    tiny_processor,
    tiny_qwen,
    tiny_vlm,
)
from vlmlib import VLM, Ablate, Block, VLMError, VLMWarning, engine, selfcheck


class PrefixProcessor(ImageTextProcessor):
    """Images of 4 x 4 tokens, and everything in the prompt is a prefix that attends to all of
    itself."""

    def __call__(self, images, text, return_tensors):
        inputs = self.image_processor(images, return_tensors=return_tensors)
        inputs.update(self.tokenizer(text.replace("<image>", "<image>" * 16), return_tensors="pt"))
        inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
        return inputs


def paligemma(seed: int = 0) -> tuple[PaliGemmaForConditionalGeneration, PrefixProcessor]:
    tokenizer = tiny_processor().tokenizer
    config = PaliGemmaConfig(
        vision_config={
            "model_type": "siglip_vision_model",
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": SIDE,
            "patch_size": PATCH,
            "vision_use_head": False,
        },
        text_config={
            "model_type": "gemma",
            "vocab_size": len(tokenizer),
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 4,
            "pad_token_id": 0,
        },
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=16,
        hidden_size=16,
    )
    torch.manual_seed(seed)
    images = SiglipImageProcessorPil(size={"height": SIDE, "width": SIDE})
    return randomised(PaliGemmaForConditionalGeneration(config)), PrefixProcessor(
        images, tokenizer, "<image>"
    )


@pytest.fixture(scope="module")
def prefix_vlm() -> VLM:
    with pytest.warns(
        VLMWarning, match=r"PaliGemma.* cannot share work .* one forward pass of its own"
    ) as caught:
        vlm = VLM(*paligemma(), prompt="USER: <image>\n{question} ASSISTANT:")
    assert len(caught) == 1
    return vlm


@pytest.mark.parametrize("make", [tiny_vlm, tiny_qwen])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_the_papers_families_share_work(make, attention):
    assert make(attention).shares


def test_a_prefix_language_model_runs_one_arm_at_a_time_and_exactly(prefix_vlm):
    vlm = prefix_vlm
    stimulus = vlm.read(picture(), "Is there a dog in this image?")
    assert not vlm.shares
    ablate = [Ablate(stimulus.visual, torch.zeros(16))]
    # edges that exist in this model
    into_earlier = [Block(stimulus.visual[8:], to=[0, 1, 2], layers=[0, 1])]
    clean, ablated, blocked = vlm.next_token(stimulus, [[], ablate, into_earlier])
    assert torch.equal(clean, vlm.model(**stimulus.inputs, logits_to_keep=1).logits[0, -1])
    projector = vlm.model.model.multi_modal_projector
    blind = projector.register_forward_hook(lambda _module, _args, output: torch.zeros_like(output))
    try:
        assert torch.equal(ablated, vlm.model(**stimulus.inputs, logits_to_keep=1).logits[0, -1])
    finally:
        blind.remove()
    assert (clean - ablated).abs().max() > 1e-3
    assert (clean - blocked).abs().max() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("seed", range(4))
def test_a_prefix_language_model_is_known_by_its_masks(dtype, seed):
    """A prefix language model is known by its masks also in half precision."""
    model, processor = paligemma(seed)
    with pytest.warns(
        UserWarning, match="positions attend to others than all earlier ones in layer 0"
    ):
        assert not VLM(
            model.to(dtype), processor, prompt="USER: <image>\n{question} ASSISTANT:"
        ).shares


def test_a_prefix_language_model_describes_as_generate_does(prefix_vlm):
    """A prefix language model describes as generate does under every arm."""
    vlm, texts = prefix_vlm, []
    for seed in range(6):
        stimulus = vlm.read(picture(seed), "Describe the image")
        clean, blind = vlm.describe(
            stimulus, [[], [Ablate(stimulus.visual, torch.zeros(16))]], max_new_tokens=8
        )
        ids = vlm.model.generate(**stimulus.inputs, do_sample=False, max_new_tokens=8)[
            0, len(stimulus.input_ids) :
        ]
        assert clean == vlm.processor.tokenizer.decode(ids, skip_special_tokens=True)
        early = vlm.describe(stimulus, [[]], max_new_tokens=8, until=clean[:1])[0]
        assert clean.startswith(early)
        texts += [clean, blind]
    assert len(set(texts)) >= 2


def test_logits_that_are_not_finite_are_refused():
    model = tiny_vlm().model
    with torch.no_grad():
        model.lm_head.weight[0, 0] = float("nan")
    with pytest.raises(VLMError, match="are not finite"):
        VLM(model, tiny_processor())


def test_layers_that_are_fed_more_than_embeddings_do_not_share_work():
    model = tiny_vlm().model
    stack = model.model.language_model
    own = stack.forward
    stack.forward = lambda *args, deepstack=None, **kwargs: own(*args, **kwargs)
    whole = model.model.forward

    def forward(*args, **kwargs):
        return whole(*args, deepstack=[torch.zeros(1)], **kwargs)

    model.model.forward = forward
    with pytest.warns(UserWarning, match="its layers are fed deepstack beside the embeddings"):
        assert not VLM(model, tiny_processor()).shares


def test_logits_that_are_scaled_after_the_unembedding_do_not_share_work():
    model = tiny_vlm().model
    model.register_forward_hook(
        lambda _module, _args, output: setattr(output, "logits", output.logits.tanh())
    )
    with pytest.warns(UserWarning, match="its logits are not just unembedded hidden states"):
        assert not VLM(model, tiny_processor()).shares


@pytest.mark.slow
@pytest.mark.parametrize("cap", [30.0, 64.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_soft_cap_of_less_than_a_rounding_is_seen(dtype, cap):
    """One of 64 changes no logit of a small picture in half precision."""
    model = tiny_vlm().model.to(dtype)
    model.register_forward_hook(
        lambda _module, _args, output: setattr(output, "logits", _capped(output.logits, cap))
    )
    with pytest.warns(VLMWarning, match="its logits are not just unembedded hidden states"):
        vlm = VLM(model, tiny_processor())
    stimulus = vlm.read(picture(), "Is there a dog in this image?")
    own = model(**stimulus.inputs, logits_to_keep=1).logits[0, -1]
    assert torch.equal(vlm.next_token(stimulus, [[]])[0], own)
    assert (vlm.shares, vlm.head.plain, vlm.head.refusal) == (False, False, None)


def _capped(logits: torch.Tensor, cap: float) -> torch.Tensor:
    return cap * torch.tanh(logits / cap)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("make", [tiny_vlm, tiny_qwen])
def test_models_in_half_precision_share_work_and_just_unembed(make, dtype):
    plain = make()
    vlm = VLM(plain.model.to(dtype), plain.processor)
    assert (vlm.shares, vlm.head.plain) == (True, True)


def test_a_model_whose_attention_ignores_masks_is_refused(monkeypatch):
    model = tiny_vlm().model
    for layer in model.model.language_model.layers:
        own = layer.self_attn.forward
        monkeypatch.setattr(
            layer.self_attn,
            "forward",
            lambda *args, own=own, **kwargs: own(*args, **{**kwargs, "attention_mask": None}),
        )
    with pytest.raises(
        VLMError, match="Editing the attention of LlavaForConditionalGeneration changes nothing"
    ):
        VLM(model, tiny_processor())


@pytest.mark.slow
@pytest.mark.parametrize("make", [tiny_vlm, tiny_qwen])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_model_whose_visual_tokens_ignore_masks_is_refused(make, attention, monkeypatch):
    """Edits of edges into its last position do reach it."""
    vlm = make(attention)
    model, token = vlm.model, vlm.model.config.image_token_id
    stack = vlm.decoder.stack
    is_visual: list[torch.Tensor] = []

    def noting(_module, args, kwargs):
        ids = kwargs.get("input_ids", args[0] if args else None)
        is_visual[:] = [ids[0] == token]

    model.register_forward_pre_hook(noting, with_kwargs=True)
    for layer in stack.layers:
        own = layer.self_attn.forward

        def forward(*args, own=own, attention_mask=None, **kwargs):
            length = kwargs["hidden_states"].shape[1]
            seen = torch.ones(length, length, dtype=torch.bool).tril()[None, None]
            if vlm.decoder.eager:
                seen = torch.zeros(seen.shape).masked_fill(~seen, torch.finfo(torch.float).min)
            if attention_mask is not None and is_visual[0].shape[0] == length:
                rows = is_visual[0][:, None]
                attention_mask = torch.where(rows, seen, attention_mask)
            return own(*args, attention_mask=attention_mask, **kwargs)

        monkeypatch.setattr(layer.self_attn, "forward", forward)
    with pytest.raises(VLMError, match="changes nothing at its visual tokens: with all edges from"):
        VLM(model, vlm.processor)


@pytest.mark.parametrize("prompt", [None, "<image>{question}"])
def test_a_model_may_have_one_visual_token(prompt, monkeypatch):
    plain = tiny_vlm(side=PATCH)
    vlm = VLM(plain.model, plain.processor, prompt)
    stimulus = vlm.read(picture(), "Hi?")
    assert (len(stimulus.visual), vlm.shares) == (1, True)
    for layer in plain.model.model.language_model.layers:
        own = layer.self_attn.forward
        monkeypatch.setattr(
            layer.self_attn,
            "forward",
            lambda *args, own=own, **kwargs: own(*args, **{**kwargs, "attention_mask": None}),
        )
    with pytest.raises(VLMError, match="changes nothing"):
        VLM(plain.model, plain.processor, prompt)


def test_a_model_that_reads_the_image_through_cross_attention_is_refused():
    config = MllamaConfig(
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_global_layers": 1,
            "attention_heads": 2,
            "image_size": SIDE,
            "patch_size": PATCH,
            "vision_output_dim": 32,
            "intermediate_layers_indices": [0],
        },
        text_config={
            "vocab_size": 64,
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "num_key_value_heads": 2,
            "cross_attention_layers": [1],
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
        image_token_index=5,
    )
    with pytest.raises(
        VLMError, match=r"\(the first is layer 1\) read the image through cross-attention"
    ):
        VLM(MllamaForConditionalGeneration(config), tiny_processor())


def test_a_model_without_placeholder_tokens_is_refused():
    part = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    text = {
        **part,
        "vocab_size": 32,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "sep_token_id": 3,
    }
    model = BlipForConditionalGeneration(
        BlipConfig(text_config=text, vision_config={**part, "image_size": 16})
    )
    with pytest.raises(VLMError, match="its layers read the image through cross-attention"):
        VLM(model, tiny_processor())


def test_attention_that_takes_no_mask_is_refused():
    model = tiny_vlm().model
    model.config.text_config._attn_implementation = "flash_attention_2"
    with pytest.raises(VLMError, match=r"'flash_attention_2'.*sdpa"):
        VLM(model, tiny_processor())


@pytest.mark.parametrize("wrong", [torch.nan, torch.inf, -torch.inf])
def test_what_is_not_finite_is_infinitely_far_off(wrong):
    whole, broken = torch.ones(3), torch.tensor([1.0, wrong, 1.0])
    assert selfcheck.off_by(broken, whole) == math.inf
    assert selfcheck.off_by(whole, broken) == math.inf
    assert selfcheck.off_by(whole, whole) == 0.0
    assert selfcheck.off_by(torch.zeros(3), torch.zeros(3)) == 0.0


@pytest.mark.filterwarnings("ignore:.*cannot share work:UserWarning")
def test_an_engine_that_gives_nan_shares_nothing(monkeypatch):
    """Of all arms but the clean one, which passes the first check."""
    own = engine.next_token

    def broken(decoder: Any, stimulus: Any, arms: Any, **more: Any) -> torch.Tensor:
        logits = own(decoder, stimulus, arms, **more)
        logits[[bool(arm) for arm in arms]] = torch.nan
        return logits

    monkeypatch.setattr(engine, "next_token", broken)
    vlm = tiny_vlm()
    assert not vlm.shares
    assert "inf of their scale" in vlm.unshared


def test_a_type_of_which_the_rounding_is_not_known_is_refused():
    with pytest.raises(VLMError, match=r"torch.float8_e4m3fn.* Load it in one of float64, float32"):
        selfcheck.tolerance(torch.float8_e4m3fn)

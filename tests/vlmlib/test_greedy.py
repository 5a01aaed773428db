"""Which settings of generation change a greedy text? Every one that transformers knows is refused,
or does nothing, as seen in what `generate` says, or cannot be in a checkpoint.

Fails if a setting that changes `generate`'s greedy text is described without a word, if a harmless
one is refused or changes what an arm says, or if a new transformers has one that nobody has looked
at.
"""

from collections.abc import Callable
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from transformers import GenerationConfig

from tests.tiny import picture, tiny_vlm
from vlmlib import GENERATED, VLM, Ablate, Block, VLMError, oracle
from vlmlib.decoding import NEUTRAL, Decoding, check_greedy
from vlmlib.interventions import Arm

SEED = 3  # whose text repeats tokens, its own and the prompt's
VLM_ = tiny_vlm(seed=SEED)
STIMULUS = VLM_.read(picture(), "Describe")
NEW = 12
ARMS: list[Arm] = [
    [],
    [Ablate(STIMULUS.visual, torch.zeros(VLM_.d_model))],
    [Block(STIMULUS.visual, STIMULUS.last, VLM_.layers)],
    [Block(STIMULUS.visual, GENERATED, VLM_.layers)],
]

# Settings that do nothing to a greedy text, with a value that would do most.
HARMLESS: dict[str, Any] = {
    "do_sample": True,  # describing asks for the likeliest token
    "temperature": 0.01,
    "top_k": 1,
    "top_p": 0.001,
    "min_p": 0.9,
    "top_h": 0.1,
    "typical_p": 0.1,
    "epsilon_cutoff": 0.9,
    "eta_cutoff": 0.9,
    "length_penalty": 5.0,
    "early_stopping": True,
    "diversity_penalty": 5.0,
    "max_length": 3,  # describing says how many new tokens
    "max_new_tokens": 3,
    "use_cache": False,
    "max_cache_len": 5000,
    "renormalize_logits": True,
    "remove_invalid_values": True,
    "output_attentions": True,
    "output_hidden_states": True,
    "output_scores": True,
    "output_logits": True,
    "bos_token_id": 5,
    "pad_token_id": 5,
    "decoder_start_token_id": 5,
    "low_memory": True,
    "max_matching_ngram_size": 2,
    "disable_compile": True,
    "num_assistant_tokens": 3,
    "num_assistant_tokens_schedule": "constant",
    "assistant_confidence_threshold": 0.1,
    "assistant_lookbehind": 3,
    "target_lookbehind": 3,
}
# Settings that say how `generate` does what it does, and not what; or that need what no checkpoint
# has beside it.
NOT_TRIED = {
    "eos_token_id",  # applied: where a text ends
    "return_dict_in_generate",
    "num_return_sequences",
    "cache_config",
    "compile_config",
    "continuous_batching_config",
    "prefill_chunk_size",  # fails beside pictures
    "prompt_lookup_num_tokens",  # the same; its guesses are kept only if they are the likeliest
    "is_assistant",  # fails without a model beside it
    "use_mtp",
    "assistant_early_exit",
    "assistant_ensemble_weight",
    "speculation_type",
    "transformers_version",
    "_commit_hash",
    "_from_model_config",
}
# A value of each refused setting that changes what this model says, where one is to be had.
CHANGING: dict[str, Any] = {
    "num_beams": 3,
    "guidance_scale": 3.0,
    "repetition_penalty": 0.01,
    "encoder_repetition_penalty": 100.0,
    "no_repeat_ngram_size": 1,
    "encoder_no_repeat_ngram_size": 1,
    "min_length": 60,
    "min_new_tokens": 12,
}


def generated(vlm: VLM, **settings: Any) -> list[int]:
    """The ids of the model's own greedy text under these settings."""
    generate = cast(Callable[..., Tensor], vlm.model.generate)
    given = {"do_sample": False, "max_new_tokens": NEW}
    out = generate(**STIMULUS.inputs, **given | settings)
    return out[0, len(STIMULUS.input_ids) :].tolist()


def hooked(vlm: VLM) -> list[list[int]]:
    """What arms say where they cannot share work."""
    decoding = Decoding(vlm.processor.tokenizer, vlm._stop_ids(), NEW)
    return [oracle.describe(vlm.model, vlm.decoder, STIMULUS, arm, decoding) for arm in ARMS]


def test_every_setting_of_transformers_has_been_looked_at():
    """A name that is missing here belongs into `NEUTRAL`, or is seen to be harmless."""
    known = set(NEUTRAL) | set(HARMLESS) | NOT_TRIED
    assert set(vars(GenerationConfig())) - known == set()


def test_no_setting_is_in_two_places():
    assert not set(NEUTRAL) & set(HARMLESS)
    assert not (set(NEUTRAL) | set(HARMLESS)) & NOT_TRIED


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # transformers warns of settings that do nothing
@pytest.mark.parametrize("name", HARMLESS)
def test_a_harmless_setting_leaves_the_greedy_text_as_it_is(name):
    plain = generated(VLM_)
    vlm = tiny_vlm(seed=SEED)
    setattr(vlm.model.generation_config, name, HARMLESS[name])
    check_greedy(vlm.model.generation_config)
    assert generated(vlm) == plain
    assert vlm.describe(STIMULUS, ARMS, NEW) == VLM_.describe(STIMULUS, ARMS, NEW)
    assert hooked(vlm) == hooked(VLM_)


@pytest.mark.slow
@pytest.mark.parametrize("name", NEUTRAL)
def test_a_setting_that_changes_a_text_is_refused_by_name(name):
    vlm = tiny_vlm(seed=SEED)
    setattr(vlm.model.generation_config, name, 7)
    with pytest.raises(VLMError, match=rf"generation_config has {name}=7, .*{name} = None"):
        vlm.describe(STIMULUS, [[]], 3)


@pytest.mark.parametrize(("name", "value"), [(a, b) for a in NEUTRAL for b in (None, *NEUTRAL[a])])
def test_a_neutral_value_is_none_of_them(name, value):
    settings = GenerationConfig()
    setattr(settings, name, value)
    check_greedy(settings)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CHANGING)
def test_what_is_refused_does_change_what_generate_says(name):
    """Else the refusal would be for nothing."""
    stop = (
        {} if name not in ("min_length", "min_new_tokens") else {"eos_token_id": generated(VLM_)[3]}
    )
    assert generated(VLM_, **stop, **{name: CHANGING[name]}) != generated(VLM_, **stop)


def test_a_stop_string_ends_a_text_of_generate():
    tokenizer = VLM_.processor.tokenizer
    whole = generated(VLM_)
    piece = tokenizer.decode(whole[7:8])
    assert generated(VLM_, stop_strings=[piece], tokenizer=tokenizer) == whole[:8]

"""What tiny random models of families are built with: settings, a tokenizer, an image processor."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
import transformers
from tokenizers import processors
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from tests.tiny import byte_level_tokenizer

hf: Any = transformers  # whose settings are typed by their defaults
Built = tuple[PreTrainedModel, Any, str | None]  # model, processor, prompt
TILE, PATCH = 16, 4  # sides of the picture that an encoder takes, and of its patches
WINDOWS = ["full_attention", "sliding_attention"] * 2
VIDEO = ("torchvision",)  # what processors with a video half need
VISION = ("vision", "visual", "image", "multi_modal", "connector", "projector")


@dataclass(frozen=True)
class Family:
    """How to build one, and where an onlooker finds its language model.

    - `build`: gives the model, its processor and a prompt, None for that of the chat template.
    - `needs`: packages that its processor does not load without.
    - `stack`: the path to the language model, the module that has the decoder layers.
    - `refused`: the model is no one that can be measured; its builder says why.
    """

    name: str
    build: Callable[[], Built]
    needs: tuple[str, ...] = ()
    stack: str = "model.language_model"
    refused: bool = False

    @property
    def missing(self) -> list[str]:
        """What it needs and is not installed."""
        return [each for each in self.needs if find_spec(each) is None]


def tokenizer_of(
    *also: str, image: str = "<image>", begin: str = "", adds_begin: bool = True, **named: str
) -> Any:
    """A byte-level tokenizer with a chat template.

    **Arguments:** `also`: more special tokens; `image`: what the template writes for a picture;
    `begin`: the begin-of-sequence token, which the template writes first, and which the tokenizer
    adds to a text if it `adds_begin`; `named`: special tokens that it has as attributes.
    """
    tokenizer = byte_level_tokenizer()
    special = list(dict.fromkeys([*also, image, *named.values(), *([begin] if begin else [])]))
    tokenizer.add_special_tokens(
        {"additional_special_tokens": special},  # pyright: ignore
        replace_extra_special_tokens=False,
    )
    for name, token in named.items():
        tokenizer._set_model_specific_special_tokens({name: token})
    if begin:
        tokenizer.bos_token = begin
        if adds_begin:
            tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
                single=f"{begin} $A",
                special_tokens=[(begin, tokenizer.convert_tokens_to_ids(begin))],
            )
    tokenizer.chat_template = (
        begin + "{% for message in messages %}User: {% for part in message.content %}"
        "{% if part.type == 'image' %}"
        + image
        + "{% else %}{{ part.text }}{% endif %}{% endfor %}\n{% endfor %}"
        "{% if add_generation_prompt %}Assistant:{% endif %}"
    )
    return tokenizer


def text_of(kind: str, tokenizer: PreTrainedTokenizerFast, **more: Any) -> dict[str, Any]:
    """The settings of a language model of four layers."""
    return {
        "model_type": kind,
        "vocab_size": len(tokenizer),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **more,
    }


def vision_of(kind: str, **more: Any) -> dict[str, Any]:
    """The settings of an image encoder of two layers."""
    return {
        "model_type": kind,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": TILE,
        "patch_size": PATCH,
        **more,
    }


def built(
    kind: str,
    processor: Any,
    prompt: str | None = None,
    attention: str = "sdpa",
    cls: Any = hf.AutoModelForImageTextToText,
    **settings: Any,
) -> Built:
    """A random model of a type, with weights so large that attention edges and visual tokens
    matter."""
    torch.manual_seed(0)
    config = hf.AutoConfig.for_model(kind, **deepcopy(settings))  # of which some change lists
    config._attn_implementation = attention
    model = (
        cls._from_config(config) if issubclass(cls, PreTrainedModel) else cls.from_config(config)
    )
    return randomised(model.float().eval()), processor, prompt


def randomised(model: PreTrainedModel) -> PreTrainedModel:
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                of_image = any(each in name for each in VISION)
                weight.normal_(std=0.15 if of_image else 0.3)
            elif not bool(weight.isfinite().all()):
                weight.zero_()
    return model


def square(cls: Any, **more: Any) -> Any:
    """An image processor whose pictures, or tiles, are squares."""
    return cls(size={"height": TILE, "width": TILE}, **more)


def id_of(tokenizer: PreTrainedTokenizerFast, token: str) -> int:
    made = tokenizer.convert_tokens_to_ids(token)
    assert isinstance(made, int)
    return made

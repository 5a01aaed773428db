"""The handle on a model. This file alone knows architectures.

Today: LLaVA (`LlavaForConditionalGeneration`), which LLaVA-1.5 and LLaVA-Phi-3 both are.
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn
from transformers import AutoModelForImageTextToText, AutoProcessor, LlavaProcessor, PreTrainedModel

from vlmlib import reference
from vlmlib.errors import VLMError
from vlmlib.interventions import Arm, check
from vlmlib.stimulus import Stimulus

VICUNA_PROMPT = "USER: <image>\n{question} ASSISTANT:"
PHI3_PROMPT = "<|user|>\n<image>{question}<|end|>\n<|assistant|>\n"


class VLM:
    """A vision-language model with its processor: reads an image and a question, runs arms of interventions.

    `VLM(model, processor)` wraps live objects; `VLM.load(source)` loads a checkpoint. `prompt` is the text around a
    question, with `<image>` and `{question}` in it; by default the one that the paper's authors used for the family.
    The model is put into evaluation mode and its parameters are frozen.

    **Raises:** `VLMError` for a model that is not supported, or whose attention is neither `sdpa` nor `eager`.

    !!! example

        >>> vlm.d_model, len(vlm.layers)
        (16, 2)
    """

    def __init__(self, model: PreTrainedModel, processor: LlavaProcessor, prompt: str | None = None):
        if model.config.model_type != "llava":
            raise VLMError(
                f"{type(model).__name__} (model type {model.config.model_type!r}) is not supported yet. Use a LLaVA "
                "checkpoint, whose class is LlavaForConditionalGeneration."
            )
        self.model, self.processor = model.eval().requires_grad_(False), _complete(processor, model.config)
        self.attentions: list[nn.Module] = [layer.self_attn for layer in model.model.language_model.layers]
        self.prompt = prompt or self._family_prompt()
        if self.prompt.count("<image>") != 1 or self.prompt.count("{question}") != 1:
            raise VLMError(f"The prompt {self.prompt!r} must hold <image> and {{question}}, each exactly once.")
        attention = model.config.text_config._attn_implementation
        if attention not in ("sdpa", "eager"):
            raise VLMError(
                f"This model's attention runs as {attention!r}, which takes no mask of edges. Load it with "
                'attn_implementation="sdpa" or "eager".'
            )

    @classmethod
    def load(
        cls,
        source: str | PathLike[str],
        device: str = "cpu",
        dtype: str | torch.dtype = "float32",
        revision: str | None = None,
    ) -> "VLM":
        """Load a checkpoint with its processor.

        **Arguments:**

        - `source`: a folder, or an id on the Hugging Face hub ("llava-hf/llava-1.5-7b-hf").
        - `device`, `dtype`: where the weights go and in which type, for example "cuda" and "bfloat16".
        - `revision`: branch, tag or commit on the hub.

        **Raises:** `VLMError` if the source is neither, or lacks its configuration, weights or processor.

        !!! example

            >>> VLM.load("fixtures/emoji_llava").grid
            (12, 12)
        """
        name, folder = str(source), Path(source)
        if folder.is_dir():
            _check_folder(folder)
        elif folder.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
            raise VLMError(
                f"There is no folder {name!r}, and it is no hub id of the form organisation/name. Check the path, or "
                "pass an id such as llava-hf/llava-1.5-7b-hf."
            )
        try:
            processor = AutoProcessor.from_pretrained(source, revision=revision)
            model: Any = AutoModelForImageTextToText.from_pretrained(source, revision=revision, dtype=dtype)
        except (OSError, ValueError) as error:
            raise VLMError(
                f"{name!r} could not be loaded as a vision-language checkpoint: {error} If it is a hub id, download "
                "it where there is a network and pass the folder."
            ) from error
        return cls(model.to(device), processor)

    @property
    def device(self) -> torch.device:
        return self.model.device

    @property
    def layers(self) -> range:
        """The 0-based indices of the decoder layers."""
        return range(len(self.attentions))

    @property
    def d_model(self) -> int:
        """The width of an embedding in the language model."""
        return self.model.config.text_config.hidden_size

    @property
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the visual tokens of every image."""
        vision = self.model.config.vision_config
        return (vision.image_size // vision.patch_size,) * 2

    def read(self, image: Image.Image, question: str, prefill: str = "") -> Stimulus:
        """Turn an image and a question into what the language model receives.

        The language model's input is captured where the model itself hands it over, so nothing of the image encoder
        or of the way in which features replace placeholder tokens is written again here.

        **Arguments:** an image; a question; `prefill`, the beginning of the model's answer ("It is a").

        **Returns:** a `Stimulus`.

        **Raises:** `VLMError` if the question itself holds an image token.

        !!! example

            >>> vlm.read(image, "What is on the bed?", prefill="It is a").grid
            (4, 4)
        """
        if "<image>" in question + prefill:
            raise VLMError(f"The question {question!r} with the prefill {prefill!r} must not hold <image>.")
        prompt = self.joined(self.prompt.format(question=question), prefill)
        inputs: Any = self.processor(images=image.convert("RGB"), text=prompt, return_tensors="pt")  # pyright: ignore
        inputs = inputs.to(self.device)
        received = self._language_model_input(inputs)
        embeddings = received["inputs_embeds"]
        position_ids = received.get("position_ids")
        if position_ids is None:
            position_ids = torch.arange(embeddings.shape[1], device=self.device)[None]
        visual = (inputs["input_ids"][0] == self.model.config.image_token_id).nonzero()[:, 0]
        return Stimulus(
            prompt=prompt,
            input_ids=inputs["input_ids"][0],
            embeddings=embeddings[0],
            position_ids=position_ids,
            visual=visual,
            grid=self.grid,
            image_size=(image.height, image.width),
            image_processor=self.processor.image_processor,
        )

    def next_token(self, stimulus: Stimulus, arms: Sequence[Arm]) -> Float[Tensor, "arm vocab"]:
        """The logits of the next token under every arm, each as if it were alone.

        **Arguments:** a stimulus; arms, each a list of interventions, `[]` for the clean run.

        **Returns:** float `[arm, vocab]`. For `[]` it is bit for bit what the model itself gives.

        **Raises:** `VLMError` for an arm that means nothing on this stimulus (see `Ablate` and `Block`).

        !!! example

            >>> zero = Ablate(stimulus.visual, torch.zeros(vlm.d_model))
            >>> vlm.next_token(stimulus, [[], [zero]]).shape[0]
            2
        """
        for arm in arms:
            check(arm, len(stimulus.input_ids), self.d_model, len(self.layers))
        rows = [reference.next_token(self.model, self.attentions, stimulus, arm) for arm in arms]
        return torch.stack(rows) if rows else stimulus.embeddings.new_empty(0, self.model.config.text_config.vocab_size)

    def first_token(self, stimulus: Stimulus, answer: str) -> int:
        """The id of the first piece of an answer, as the model would have to produce it after this prompt.

        Found by reading prompt and answer as one text: right for leading-space pieces, and never a begin-of-sequence
        token.

        !!! example

            >>> vlm.processor.tokenizer.decode(vlm.first_token(stimulus, "book"))
            'book'
        """
        tokenizer = self.processor.tokenizer
        before = tokenizer(stimulus.prompt)["input_ids"]
        after = tokenizer(self.joined(stimulus.prompt, answer))["input_ids"]
        return next(new for index, new in enumerate(after) if index >= len(before) or new != before[index])

    def joined(self, prompt: str, continuation: str) -> str:
        """A prompt and what follows it, with a space between them unless the prompt ends in white space."""
        needs_space = continuation and not prompt[-1].isspace()
        return f"{prompt} {continuation}" if needs_space else prompt + continuation

    def _family_prompt(self) -> str:
        is_phi3 = "<|assistant|>" in self.processor.tokenizer.get_vocab()
        return PHI3_PROMPT if is_phi3 else VICUNA_PROMPT

    def _language_model_input(self, inputs: Mapping[str, Tensor]) -> dict[str, Any]:
        """Run the model until its language model is called, and return what it is called with."""
        received: dict[str, Any] = {}

        def keep(_module: nn.Module, _args: tuple, kwargs: dict) -> None:
            received.update(kwargs)
            raise _Reached

        handle = self.model.model.language_model.register_forward_pre_hook(keep, with_kwargs=True)
        try:
            with torch.no_grad():
                self.model(**inputs, use_cache=False, logits_to_keep=1)
        except _Reached:
            return received
        finally:
            handle.remove()
        raise VLMError(f"{type(self.model).__name__} never called its language model, so its input cannot be read.")


class _Reached(Exception):  # noqa: N818, a signal and no error
    """Ends a forward pass at the language model's door."""


def _complete(processor: LlavaProcessor, config: Any) -> LlavaProcessor:
    """Fill in what some LLaVA processors lack, without which they count one image token too few."""
    if processor.patch_size is None:
        processor.patch_size = config.vision_config.patch_size
        processor.vision_feature_select_strategy = config.vision_feature_select_strategy
        processor.num_additional_image_tokens = 1  # CLIP's class token
    return processor


def _check_folder(folder: Path) -> None:
    needed = {
        "a configuration (config.json)": ["config.json"],
        "weights (*.safetensors)": ["*.safetensors"],
        "a processor (processor_config.json or preprocessor_config.json)": ["*processor_config.json"],
        "a tokenizer (tokenizer.json or tokenizer.model)": ["tokenizer.json", "tokenizer.model"],
    }
    for what, patterns in needed.items():
        if not any(any(folder.glob(pattern)) for pattern in patterns):
            raise VLMError(
                f"The checkpoint folder {str(folder)!r} has no {what.removeprefix('a ')}. Save model and processor "
                "into one folder (model.save_pretrained(folder), processor.save_pretrained(folder))."
            )

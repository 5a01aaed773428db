"""From a folder or a hub id to a model and its processor."""

from os import PathLike
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    BatchFeature,
    PreTrainedModel,
    Qwen2VLImageProcessorPil,
)

from vlmlib.errors import VLMError


def load(
    source: str | PathLike[str], dtype: str | torch.dtype = "float32", revision: str | None = None
) -> tuple[PreTrainedModel, Any]:
    """The model and the processor of a checkpoint, on the CPU.

    **Arguments:** a folder, or an id on the Hugging Face hub; the type of the weights; branch, tag
    or commit.

    **Raises:** `VLMError` if the source is neither, or lacks its configuration, weights or
    processor.

    !!! example

        >>> model, processor = load("fixtures/emoji_llava")
        >>> type(model).__name__
        'LlavaForConditionalGeneration'
    """
    name, folder = str(source), Path(source)
    if folder.is_dir():
        _check_folder(folder)
    elif folder.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        raise VLMError(
            f"There is no folder {name!r}, and it is no hub id of the form organisation/name. "
            "Check the path, or pass an id such as llava-hf/llava-1.5-7b-hf."
        )
    try:
        processor = _processor(source, revision)
        return AutoModelForImageTextToText.from_pretrained(
            source, revision=revision, dtype=dtype
        ), processor
    except (ImportError, OSError, ValueError) as error:
        raise VLMError(
            f"{name!r} could not be loaded as a vision-language checkpoint: {error} If it is a "
            "hub id, download it where there is a network and pass the folder."
        ) from error


class ImageTextProcessor:
    """An image processor and a tokenizer as one, for checkpoints whose own processor also wants
    video.

    The image token of the text is repeated once per visual token, which a merge of `merge_size` x
    `merge_size` patches becomes, as in Qwen2-VL.
    """

    def __init__(self, image_processor: Any, tokenizer: Any, image_token: str):
        self.image_processor, self.tokenizer, self.image_token = (
            image_processor,
            tokenizer,
            image_token,
        )

    def __call__(self, images: Image.Image, text: str, return_tensors: str) -> BatchFeature:
        inputs = self.image_processor(images, return_tensors=return_tensors)
        count = int(inputs["image_grid_thw"].prod()) // self.image_processor.merge_size**2
        inputs.update(
            self.tokenizer(
                text.replace(self.image_token, self.image_token * count), return_tensors="pt"
            )
        )
        of_image = inputs["input_ids"] == self.tokenizer.convert_tokens_to_ids(self.image_token)
        inputs["mm_token_type_ids"] = of_image.long()
        return inputs

    def apply_chat_template(self, conversation: list[dict], add_generation_prompt: bool) -> str:
        return self.tokenizer.apply_chat_template(
            conversation, add_generation_prompt=add_generation_prompt, tokenize=False
        )


def _processor(source: str | PathLike[str], revision: str | None) -> Any:
    try:
        return AutoProcessor.from_pretrained(source, revision=revision)
    except ImportError:
        # Qwen2-VL's processor holds one for videos, which needs torchvision; pictures and text do
        # not
        if AutoConfig.from_pretrained(source, revision=revision).model_type != "qwen2_vl":
            raise
        image_processor = Qwen2VLImageProcessorPil.from_pretrained(
            source, revision=revision or "main"
        )
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        return ImageTextProcessor(image_processor, tokenizer, image_token="<|image_pad|>")


def _check_folder(folder: Path) -> None:
    needed = {
        "a configuration (config.json)": ["config.json"],
        "weights (*.safetensors)": ["*.safetensors"],
        "a processor (processor_config.json or preprocessor_config.json)": [
            "*processor_config.json"
        ],
        "a tokenizer (tokenizer.json or tokenizer.model)": ["tokenizer.json", "tokenizer.model"],
    }
    for what, patterns in needed.items():
        if not any(any(folder.glob(pattern)) for pattern in patterns):
            raise VLMError(
                f"The checkpoint folder {str(folder)!r} has no {what.removeprefix('a ')}. Save "
                "model and processor into one folder (model.save_pretrained(folder), "
                "processor.save_pretrained(folder))."
            )

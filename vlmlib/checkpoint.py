"""From a folder or a hub id to a model and its processor."""

from os import PathLike
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
    PreTrainedModel,
)

from vlmlib.architecture import A_HUB_ID, WITHOUT_VIDEO, ImageTextProcessor
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
            f"Check the path, or pass an id such as {A_HUB_ID}."
        )
    try:
        processor = _processor(source, revision)
        model = AutoModelForImageTextToText.from_pretrained(source, revision=revision, dtype=dtype)
    except (ImportError, OSError, ValueError) as error:
        raise VLMError(
            f"{name!r} could not be loaded as a vision-language checkpoint: {error} If it is a "
            "hub id, download it where there is a network and pass the folder."
        ) from error
    return model, processor


def _processor(source: str | PathLike[str], revision: str | None) -> Any:
    try:
        return AutoProcessor.from_pretrained(source, revision=revision)
    except ImportError:
        model_type = AutoConfig.from_pretrained(source, revision=revision).model_type
        if model_type not in WITHOUT_VIDEO:
            raise
        image_processor, image_token = WITHOUT_VIDEO[model_type]
        return ImageTextProcessor(
            image_processor.from_pretrained(source, revision=revision or "main"),
            AutoTokenizer.from_pretrained(source, revision=revision),
            image_token,
        )


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

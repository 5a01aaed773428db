"""Processors that read pictures and videos, without their video half, which needs libraries that
pictures do not need."""

from pathlib import Path
from typing import Any

from transformers import CONFIG_MAPPING, PROCESSOR_MAPPING, AutoTokenizer

# transformers 5.17 has it at its top only beside torchvision
from transformers.models.auto.image_processing_auto import AutoImageProcessor
from transformers.models.auto.processing_auto import processor_class_from_name
from transformers.utils.import_utils import is_torchvision_available

from vlmlib.files import settings_in

VIDEO = "video_processor"
# Where a checkpoint says which class its processor has, the first first, as AutoProcessor looks.
NAMED_IN = ("processor_config.json", "preprocessor_config.json", "tokenizer_config.json")


def halved(folder: Path, model_type: str) -> Any | None:
    """The class of a checkpoint's processor without its video half; None where that lacks nothing
    here, or the processor has no such half or other parts beside text and pictures.

    !!! example

        >>> halved(Path("fixtures/emoji_llava"), "llava") is None
        True
    """
    if is_torchvision_available():
        return None
    named = (settings_in(folder / file) for file in NAMED_IN if (folder / file).exists())
    name = next(filter(None, (each.get("processor_class") for each in named)), None)
    if name:
        kind: Any = processor_class_from_name(name)
    else:
        kind = PROCESSOR_MAPPING.get(CONFIG_MAPPING[model_type], None)
    parts = kind.get_attributes() if kind else ()
    return image_half(kind) if set(parts) == {"image_processor", "tokenizer", VIDEO} else None


def image_half(kind: Any) -> Any:
    """A class of processors that is another one, but for taking None as its video processor.

    !!! example

        >>> from transformers import Qwen2VLProcessor
        >>> issubclass(image_half(Qwen2VLProcessor), Qwen2VLProcessor)
        True
    """

    def check(self: Any, argument_name: str, argument: Any) -> Any:
        if argument_name != VIDEO:
            kind.check_argument_for_proper_class(self, argument_name, argument)

    return type(kind.__name__, (kind,), {"check_argument_for_proper_class": check})


def load_half(half: Any, folder: Path) -> Any:
    """A checkpoint's processor, with its parts for text and pictures alone.

    **Arguments:** its class, from `halved`; the folder.

    !!! example

        >>> load_half(type(vlm.processor), Path("fixtures/emoji_llava")).image_token
        '<image>'
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    images = AutoImageProcessor.from_pretrained(folder, trust_remote_code=False)
    settings, _ = half.get_processor_dict(folder)
    settings.setdefault("chat_template", tokenizer.chat_template)
    parts = {"tokenizer": tokenizer, "image_processor": images}
    return half.from_args_and_dict([parts.get(each) for each in half.get_attributes()], settings)

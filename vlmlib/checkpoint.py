"""From a folder or a hub id to a model and its processor, checked against each other.

No code of a checkpoint is ever run, and nothing of it is unpickled.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    BitsAndBytesConfig,
    PreTrainedModel,
)

from vlmlib.architecture import A_HUB_ID, half_of
from vlmlib.devices import AUTO, FOUR_BIT, devices_of, dtype_of, placed_on
from vlmlib.errors import VLMError
from vlmlib.files import (
    AGAIN,
    INDEX,
    WEIGHTS,
    check_files,
    numbers_in,
    settings_in,
    weights_in,
)
from vlmlib.halves import halved, load_half
from vlmlib.hub import commit_of, config_of, folder_of

# What some processors need beside transformers, and what brings it.
VISION, EXTRA = ("torchvision", "num2words"), "pip install 'vlm-claims[vision]'"
OWN_CODE = " It brings code of its own (auto_map), which is never run here."


def load(
    source: str | PathLike[str],
    dtype: str | torch.dtype = "float32",
    revision: str | None = None,
    device: str | torch.device = "cpu",
) -> tuple[PreTrainedModel, Any]:
    """The model and the processor of a checkpoint.

    **Arguments:** a folder, or an id on the Hugging Face hub; the type of the weights, "4bit" to
    quantise them with bitsandbytes; branch, tag or commit; where the weights go, "auto" to spread
    them over all accelerators.

    **Raises:** `VLMError` for a device or a type that there is not, and weights that do not fit; if
    the source is neither; if it lacks its configuration, weights or
    processor; and if its weights are not all that the model has, and nothing else: others are
    missing, do not belong, or have another shape, are no finite numbers, or all zero.

    !!! example

        >>> model, processor = load("fixtures/emoji_llava")
        >>> type(model).__name__
        'LlavaForConditionalGeneration'
    """
    devices, kind = devices_of(device), dtype_of(dtype)
    folder = _folder(source, revision)
    config = check_files(folder)
    _check_config(folder, config)
    with _explained(folder):
        processor = _processor(folder, config["model_type"])
    settings = _settings(kind, devices)
    with _explained(folder), _fitting(folder, kind, devices), warnings.catch_warnings():
        # of weights that are part of no part, which are all the same where the map has them
        warnings.filterwarnings("ignore", "The following device_map keys do not match")
        _check_size(folder)
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            folder,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are in `info`, and refused below
            **settings,
        )
    model, info = loaded
    _check_keys(folder, info)
    if kind and len(devices) == 1:
        with _fitting(folder, kind, devices):
            model.to(devices[0])
    placed_on(model)
    _check_numbers(folder, model)  # where they are: a GPU reads them in a moment
    return model, processor


def half_precision(source: str | PathLike[str], revision: str | None = None) -> str:
    """The type of 16 bits in which a checkpoint is measured, by its configuration alone: float16
    for the family of which the paper's authors ran it so, bfloat16 for all others.

    !!! example

        >>> half_precision("fixtures/emoji_llava")
        'float16'
    """
    folder = _local(source)
    file = (
        folder / "config.json"
        if folder
        else config_of(str(source), commit_of(str(source), revision))
    )
    return half_of(settings_in(file).get("model_type"))


def _folder(source: str | PathLike[str], revision: str | None) -> Path:
    """Where the files of a checkpoint are on this machine."""
    folder = _local(source)
    if folder and revision is not None:
        raise VLMError(
            f"{str(source)!r} is a folder, which has no revision {revision!r}. Leave it out, or "
            "pass the id on the hub."
        )
    return folder or folder_of(str(source), commit_of(str(source), revision))


def _local(source: str | PathLike[str]) -> Path | None:
    """The folder that a source names; None for an id on the hub."""
    name, folder = str(source), Path(source).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or name.startswith((".", "~")) or name.count("/") != 1:
        is_file = (
            f", but a file: pass its folder, {str(folder.parent)!r}" if folder.exists() else ""
        )
        raise VLMError(
            f"There is no folder {name!r}{is_file}, and it is no hub id of the form "
            f"organisation/name. Check the path, or pass an id such as {A_HUB_ID}."
        )
    return None


def _check_config(folder: Path, config: dict[str, Any]) -> None:
    """Refuse what transformers, or this instrument, cannot read weights for."""
    where, kind = f"{str(folder / 'config.json')!r}", config.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        own = "" if "auto_map" not in config else OWN_CODE
        raise VLMError(
            f"{where} has model_type {kind!r}, which transformers {transformers.__version__} does "
            f"not know.{own} Install a transformers that knows it, or take a checkpoint of a "
            f"model that it knows, such as {A_HUB_ID}."
        )
    if part := _answering_part(kind):
        raise VLMError(
            f"{where} has model_type {kind!r}, whose models are made of several, of which one "
            f"alone answers about images. Load that with transformers ({part}.from_pretrained) "
            "and pass it with its processor: VLM(model, processor)."
        )
    if CONFIG_MAPPING[kind] not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise VLMError(
            f"{where} has model_type {kind!r}, whose models do not answer about images. Take a "
            f"vision-language checkpoint, such as {A_HUB_ID}."
        )
    if (weights := config.get("transformers_weights")) not in (None, WEIGHTS, INDEX):
        raise VLMError(
            f"{where} says that the weights are in {weights!r} (transformers_weights); expected "
            f"{WEIGHTS} or {INDEX}. Rename the file, and take the entry out."
        )
    if quantised := config.get("quantization_config"):
        how = quantised.get("quant_method") if isinstance(quantised, dict) else quantised
        raise VLMError(
            f"{where} says that the weights are quantised ({how}), in which they are not read "
            "here. Take the checkpoint as it was before; load it with "
            'dtype="4bit" (--vlm-dtype 4bit) to quantise it then.'
        )


def _answering_part(kind: str) -> str | None:
    """The class of the part that answers about images of a model that is made of several and does
    not answer as a whole."""
    whole, answers = CONFIG_MAPPING[kind], MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    parts = getattr(whole, "sub_configs", None) or {}
    found: list[Any] = [answers[part] for part in parts.values() if part in answers]
    return found[0].__name__ if found and whole not in answers else None


def _check_size(folder: Path) -> None:
    """Refuse a configuration of a model far larger than its weights, before memory is taken for
    it; where it says nothing of a part, transformers takes sizes of its own."""
    with torch.device("meta"):
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        model: Any = AutoModelForImageTextToText.from_config(config, trust_remote_code=False)
    expected = sum(each.numel() for each in model.parameters())
    held = sum(map(numbers_in, weights_in(folder)))
    if expected > 2 * held:
        raise VLMError(
            f"{str(folder / 'config.json')!r} describes a model of {expected:,} numbers, and its "
            f"weights are {held:,}. {AGAIN}"
        )


def _settings(kind: torch.dtype | None, devices: Sequence[torch.device]) -> dict[str, Any]:
    """How the weights are read: in a type, or quantised, which has to be done where they go, as
    spreading has."""
    if kind and len(devices) == 1:
        return {"dtype": kind}
    there = AUTO if len(devices) > 1 else {"": str(devices[0])}
    if kind:
        return {"dtype": kind, "device_map": there}
    quantised = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float16)
    return {
        "dtype": torch.float16,
        "quantization_config": quantised,
        "device_map": there,
    }


def _processor(folder: Path, model_type: str) -> Any:
    if half := halved(folder, model_type):
        with suppress(AttributeError):  # of a half that asks the other: then both are needed
            return load_half(half, folder)
    return AutoProcessor.from_pretrained(folder, trust_remote_code=False)


@contextmanager
def _fitting(
    folder: Path, kind: torch.dtype | None, devices: Sequence[torch.device]
) -> Iterator[None]:
    """That weights do not fit where they go, as one message."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        name = str(kind).removeprefix("torch.") if kind else FOUR_BIT
        size = sum(map(numbers_in, weights_in(folder))) * (kind.itemsize if kind else 0.5) / 1e9
        there = ", ".join(map(str, devices))
        raise VLMError(
            f"The weights take {size:.1f} GB as {name}, for which {there!r} has no room "
            "left. Choose a larger, an emptier or one device more, or weights of fewer bits "
            '(dtype="float16", "bfloat16" or "4bit").'
        ) from error


def _check_keys(folder: Path, info: dict[str, Any]) -> None:
    """Refuse weights that are not all of the model's, and these alone."""
    wrong = []
    if missing := sorted(info["missing_keys"]):
        wrong.append(f"{_first(missing)} missing, which would be filled at random")
    if unknown := sorted(info["unexpected_keys"]):
        wrong.append(f"{_first(unknown)} there for which the model has no place")
    if shapes := sorted(info["mismatched_keys"]):
        name, found, expected = shapes[0]
        wrong.append(
            f"{_first([each[0] for each in shapes])} of another shape ({name} is "
            f"{list(found)}, and {list(expected)} by config.json)"
        )
    if wrong:
        first, *others = weights_in(folder)
        raise VLMError(
            f"The weights in {str(first)!r}{' and its other shards' if others else ''} are not "
            f"those of the model in {str(folder / 'config.json')!r}: {'; '.join(wrong)}. {AGAIN}"
        )


def _first(names: list[str]) -> str:
    """How many tensors, and the first two by name."""
    if len(names) == 1:
        return f"the tensor {names[0]} is"
    return f"{len(names)} tensors ({', '.join(names[:2])}{', ...' * (len(names) > 2)}) are"


@torch.no_grad()
def _check_numbers(folder: Path, model: PreTrainedModel) -> None:
    """Refuse weights that are no numbers, and whole matrices of zeros."""
    for name, weight in model.named_parameters():
        if not weight.is_floating_point() or not weight.numel():
            continue
        least, most = torch.aminmax(weight)
        if not bool(torch.isfinite(least) & torch.isfinite(most)):
            raise VLMError(
                f"The weights in {str(folder)!r} are not finite in {name} as "
                f"{str(weight.dtype).removeprefix('torch.')}. Load them in a type of wider range "
                '(dtype="bfloat16" or "float32"); if that says the same, download them again.'
            )
        if weight.ndim > 1 and not bool(least) and not bool(most):
            raise VLMError(
                f"The weights in {str(folder)!r} are all zero in {name}, as in a file that was "
                "not downloaded whole. Download it again; if zeros are meant, load the model "
                "yourself and wrap it: VLM(model, processor)."
            )


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    """What transformers and the libraries under it raise about a checkpoint, as one message."""
    try:
        yield
    except VLMError:
        raise
    except Exception as error:  # no code of ours runs here, and theirs raises whatever it likes
        reason = " ".join(str(error).split())[:500]
        if "custom code" in reason:
            raise VLMError(
                f"{str(folder)!r} needs code that it brings (auto_map), which is never run here. "
                "Take a checkpoint whose model, tokenizer and processor are transformers' own."
            ) from error
        installed = isinstance(error, ImportError) or "installed" in reason
        install = "Install the library that it names."
        if lacks := [name for name in VISION if name in reason.lower() and not find_spec(name)]:
            installed, install = True, f"Install {' and '.join(lacks)}: {EXTRA}"
        raise VLMError(
            f"{str(folder)!r} could not be loaded as a vision-language checkpoint "
            f"({type(error).__name__}: {reason}). "
            f"{install if installed else AGAIN}"
        ) from error

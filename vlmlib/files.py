"""The files of a checkpoint folder: are they there, whole and readable, before any is used?

What transformers makes of a damaged folder ranges from a traceback to a model that is silently
another one: it answers a broken generation_config.json with settings of its own.
"""

import json
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from vlmlib.errors import VLMError

AGAIN = "Download it again, or save model and processor again (save_pretrained)."
TEMPLATE, TEMPLATE_KEY = "chat_template.json", "chat_template"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
# By what a folder needs: the names of files of which one is enough.
NEEDED = {
    "a configuration": ("config.json",),
    "weights": (WEIGHTS, INDEX),
    "a processor": ("processor_config.json", "preprocessor_config.json"),
    "a tokenizer": ("tokenizer.json", "tokenizer.model", "vocab.json"),
}
SETTINGS = (
    "config.json",
    "generation_config.json",
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    TEMPLATE,
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    INDEX,
)
OTHERS = ("chat_template.jinja", "tokenizer.model", "merges.txt")
# How the names of files end that a checkpoint is read from beside its weights.
BESIDE_WEIGHTS = (".json", ".jinja", ".model", ".txt")
# How the small files begin that stand for large ones until these are downloaded.
POINTERS = (b"version https://git-lfs", b"# xet version")
# Weights in files of other kinds, by how their names end or which they are, and what to do.
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
ADAPTER = "adapter_config.json"
FLOATS = ("F64", "F32", "F16", "BF16")
COUNTERS = ("position_ids", "num_batches_tracked")  # whole numbers that stand beside weights


def check_files(folder: Path) -> dict[str, Any]:
    """See that a checkpoint folder has all that is needed, and that each file of it can be used.

    **Returns:** what its config.json says.

    **Raises:** `VLMError` that names the file: one that is missing, empty, cut short, no regular
    file, unreadable, a pointer to a file that is elsewhere, no JSON or no safetensors; weights that
    are pickled, an adapter's, or whole numbers.

    !!! example

        >>> check_files(Path("fixtures/emoji_llava"))["model_type"][:3]
        'lla'
    """
    if what := lacking(folder):
        raise VLMError(
            f"The checkpoint folder {str(folder)!r} has no {what}. Save model and processor into "
            "one folder (model.save_pretrained(folder), processor.save_pretrained(folder))."
        )
    names = _names(folder)
    for name in OTHERS:
        if name in names:
            _check_file(folder / name)
    settings = {name: settings_in(folder / name) for name in SETTINGS if name in names}
    if not isinstance(settings.get(TEMPLATE, {TEMPLATE_KEY: ""}).get(TEMPLATE_KEY), str):
        raise VLMError(f"{str(folder / TEMPLATE)!r} has no text as {TEMPLATE_KEY}. {AGAIN}")
    if ADAPTER in names:
        raise VLMError(
            f"{str(folder / ADAPTER)!r} makes this the folder of an adapter. Merge the adapter "
            "into its model (merge_and_unload), and save that; or delete the file if the weights "
            "are whole."
        )
    for file in weights_in(folder):
        _check_weights(file)
    return settings["config.json"]


def lacking(folder: Path) -> str:
    """What a checkpoint folder needs and does not have, in words; "" if nothing.

    !!! example

        >>> lacking(Path("fixtures/emoji_llava"))
        ''
    """
    names = _names(folder)
    for what, files in NEEDED.items():
        if not names & set(files):
            hint = _instead_of_weights(names) if what == "weights" else ""
            return f"{what.removeprefix('a ')} ({' or '.join(files)}){hint}"
    for file in weights_in(folder):
        if file.name not in names:
            return f"{file.name}, which {INDEX} names"
    return ""


def weights_in(folder: Path) -> list[Path]:
    """The files of a checkpoint's weights: one, or the shards that its index names.

    **Raises:** `VLMError` for an index that is none, or that names a file outside the folder.

    !!! example

        >>> [file.name for file in weights_in(Path("fixtures/emoji_llava"))]
        ['model.safetensors']
    """
    if WEIGHTS in _names(folder):
        return [folder / WEIGHTS]
    index = folder / INDEX
    shards = settings_in(index).get("weight_map")
    if not isinstance(shards, dict) or not shards:
        raise VLMError(
            f"{str(index)!r} has no weight_map, which says where each tensor is. {AGAIN}"
        )
    for shard in shards.values():
        if not isinstance(shard, str) or shard != os.path.basename(shard):
            raise VLMError(
                f"{str(index)!r} names {shard!r}; expected the name of a file in its folder. "
                f"{AGAIN}"
            )
    return [folder / name for name in sorted(set(shards.values()))]


def numbers_in(file: Path) -> int:
    """How many numbers a .safetensors file holds.

    !!! example

        >>> numbers_in(Path("fixtures/emoji_llava/model.safetensors")) > 1_000_000
        True
    """
    with safe_open(file, "pt") as content:
        names = list(content.keys())
        return sum(math.prod(content.get_slice(name).get_shape()) for name in names)


def settings_in(file: Path) -> dict[str, Any]:
    """What a JSON file of a checkpoint says.

    **Raises:** `VLMError` that names the file, if it cannot be read or is no JSON object.

    !!! example

        >>> settings_in(Path("fixtures/emoji_llava/generation_config.json"))["eos_token_id"]
        2
    """
    _check_file(file)
    try:
        settings = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise VLMError(
            f"{str(file)!r} is no valid JSON ({error}): it may be cut short. {AGAIN}"
        ) from error
    if not isinstance(settings, dict):
        raise VLMError(
            f"{str(file)!r} holds {_kind(settings)}; expected a JSON object, {{...}}. {AGAIN}"
        )
    return settings


def _names(folder: Path) -> set[str]:
    """What is in a folder, whether it can be read or not."""
    try:
        return set(os.listdir(folder))
    except OSError as error:
        raise VLMError(
            f"The checkpoint folder {str(folder)!r} cannot be read ({error.strerror}). Change its "
            "permissions, or choose another folder."
        ) from error


def _instead_of_weights(names: set[str]) -> str:
    """Which weights there are that are not taken, and what to do with them."""
    pickles = sorted(name for name in names if name.endswith(PICKLES))
    tensors = sorted(name for name in names if name.endswith(".safetensors"))
    if ADAPTER in names:
        return f"; {ADAPTER} makes it the folder of an adapter: merge it into its model first"
    if tensors:
        return f"; {tensors[0]} does not tell by itself which part of the weights it is"
    if pickles:
        return (
            f"; {pickles[0]} is pickled and never loaded, as a pickle can run code: take a "
            "checkpoint in safetensors, or convert it where you trust it"
        )
    return ""


def _check_file(file: Path) -> None:
    """Refuse what is no file with content of its own."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise VLMError(f"{str(file)!r} is no regular file. Expected one. {AGAIN}")
        with file.open("rb") as opened:
            begin = opened.read(64)
    except OSError as error:
        link = f", a link to {os.readlink(file)!r}," if file.is_symlink() else ""
        raise VLMError(
            f"{str(file)!r}{link} cannot be read ({error.strerror}). Change its permissions, or "
            "copy the checkpoint with the files that its links lead to."
        ) from error
    if not begin:
        raise VLMError(f"{str(file)!r} is empty. {AGAIN}")
    if begin.startswith(POINTERS):
        raise VLMError(
            f"{str(file)!r} is a pointer to a file that was not downloaded. Fetch it (git lfs pull "
            "in the folder, or hf download ID --local-dir FOLDER)."
        )


def _check_weights(file: Path) -> None:
    """Refuse a file that is no whole safetensors file of floats."""
    _check_file(file)
    try:
        kinds = list(_kinds(file))
    except (SafetensorError, OSError) as error:
        raise VLMError(
            f"{str(file)!r} is no whole safetensors file ({error}): it may be cut short. {AGAIN}"
        ) from error
    wrong = [(name, kind) for name, kind in kinds if kind not in FLOATS]
    wrong = [(name, kind) for name, kind in wrong if not name.endswith(COUNTERS)]
    if wrong:
        name, kind = wrong[0]
        raise VLMError(
            f"{str(file)!r} holds {len(wrong)} tensors that are no floats, the first {name} "
            f"({kind}); expected {', '.join(FLOATS)}. Take the checkpoint as it was before it was "
            'quantised; load it with dtype="4bit" (--vlm-dtype 4bit) to quantise it then.'
        )


def _kinds(file: Path) -> Iterator[tuple[str, str]]:
    with safe_open(file, framework="pt") as opened:
        for name in sorted(opened.keys()):
            yield name, opened.get_slice(name).get_dtype()


def _kind(value: Any) -> str:
    return {list: "a list", str: "a text", type(None): "null"}.get(type(value), repr(value)[:40])

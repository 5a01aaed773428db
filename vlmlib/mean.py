"""The mean visual token over a set of images: what mean ablation puts in a token's place."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from vlmlib.errors import VLMError
from vlmlib.model import VLM

PICTURES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def mean_embedding(
    vlm: VLM, images: str | Path | Iterable[Image.Image]
) -> Float[Tensor, " d_model"]:
    """The mean of all visual tokens of all images, at the input of the language model (section 3).

    Images are read one after the other and summed in double precision, so any number of them fits
    into memory.

    **Arguments:** a model; images (the paper took 50,000 of ImageNet's validation split), or a
    folder of them: every picture file under it, by its suffix, in the order of their paths.

    **Returns:** `[d_model]`, in the type and on the device of the model.

    **Raises:** `VLMError` if there is no image, or one that cannot be read.

    !!! example

        >>> mean_embedding(vlm, [image, image]).shape[0] == vlm.d_model
        True
    """
    total = torch.zeros(vlm.d_model, dtype=torch.float64)
    count = 0
    given = _pictures(Path(images)) if isinstance(images, str | Path) else images
    for each in tqdm(given, desc="mean embedding", unit="image", leave=False, disable=None):
        stimulus = vlm.read(_opened(each) if isinstance(each, Path) else each, "")
        visual = stimulus.embeddings[stimulus.visual]
        total += visual.double().sum(0).cpu()
        count += len(visual)
    if not count:
        raise VLMError("mean_embedding was given no image. Pass at least one.")
    return (total / count).to(vlm.device, vlm.model.dtype)


def save_mean(path: str | Path, mean: Float[Tensor, "..."], /, **made_from: object) -> None:
    """Write a mean embedding into a `.safetensors` file, together with what it was made from.

    The file appears whole or not at all: an interrupted call leaves what was there before.

    **Arguments:** where to; the mean; anything worth knowing about it, as text: the model, the
    images, how many.

    **Raises:** `VLMError` for another suffix, for a mean that is no vector, or where the file
    cannot be written.

    !!! example

        >>> import tempfile
        >>> path = f"{tempfile.mkdtemp()}/mean.safetensors"
        >>> save_mean(path, mean_embedding(vlm, [image]), model="tiny", images="noise", count=1)
        >>> made_from(path)
        {'count': '1', 'images': 'noise', 'model': 'tiny'}
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise VLMError(
            f"save_mean was asked to write {str(path)!r}. Give the file the suffix .safetensors."
        )
    if not made_from:
        raise VLMError(
            "save_mean was not told what the mean was made from. Name it: model=..., images=..., "
            "count=..."
        )
    tensors = {"mean": _vector(path, mean).cpu().contiguous()}
    origin = {name: str(value) for name, value in made_from.items()}
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(save(tensors, origin))
        unfinished.replace(path)
    except OSError as error:
        raise VLMError(
            f"The mean embedding could not be written to {str(path)!r}: {error}."
        ) from error
    finally:
        unfinished.unlink(missing_ok=True)


def load_mean(path: str | Path) -> Float[Tensor, " d_model"]:
    """A mean embedding from a file: one that `save_mean` wrote, or a tensor that `torch.save` wrote
    (`.pt`).

    Nothing but tensors is read from either, and no code that a file may hold is run.

    **Returns:** `[d_model]`, on the CPU; `[1, d_model]` in the file is taken for the same.

    **Raises:** `VLMError` if the file cannot be read or holds anything but one such tensor.

    !!! example

        >>> import tempfile
        >>> path = f"{tempfile.mkdtemp()}/mean.pt"
        >>> torch.save(torch.zeros(1, 16), path)
        >>> load_mean(path).shape
        torch.Size([16])
    """
    path = Path(path)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                names = list(file.keys())
                tensors = {name: file.get_tensor(name) for name in names}
            content = tensors[names[0]] if len(names) == 1 else tensors
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken or malicious file fails in many ways
        raise VLMError(_unreadable(path, error)) from error
    return _vector(path, content)


def made_from(path: str | Path) -> dict[str, str]:
    """What a mean embedding was made from, as `save_mean` was told; nothing is known of a `.pt`
    file.

    **Raises:** `VLMError` if the file cannot be read.

    !!! example

        >>> import tempfile
        >>> path = f"{tempfile.mkdtemp()}/mean.safetensors"
        >>> save_mean(path, torch.zeros(16), model="tiny")
        >>> made_from(path)
        {'model': 'tiny'}
    """
    path = Path(path)
    try:
        with safe_open(path, "pt") as file:
            return dict(sorted((file.metadata() or {}).items()))
    except Exception as error:
        raise VLMError(_unreadable(path, error)) from error


def _pictures(folder: Path) -> list[Path]:
    found = sorted(
        path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file()
    )
    if not found:
        what = "a folder without pictures" if folder.is_dir() else "no folder"
        raise VLMError(
            f"mean_embedding was given {str(folder)!r}, which is {what}. Pass a folder with files "
            f"of the suffixes {', '.join(sorted(PICTURES))} in it, or the images themselves."
        )
    for path in found:  # what is no picture at all is known before the long work begins
        with _reading(path), Image.open(path):
            pass
    return found


def _opened(path: Path) -> Image.Image:
    with _reading(path), Image.open(path) as image:
        return image.convert("RGB")


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        raise VLMError(
            f"The picture {str(path)!r} could not be read: {error}. Mend it, or take it out of the "
            "folder."
        ) from error


def _vector(path: Path, content: object) -> Float[Tensor, " d_model"]:
    if isinstance(content, Tensor) and content.is_floating_point():
        row = content.detach()
        row = row[0] if row.ndim == 2 and len(row) == 1 else row
        if row.ndim == 1 and len(row):
            return row
    of = f" {list(content.shape)} of {content.dtype}" if isinstance(content, Tensor) else ""
    raise VLMError(
        "A mean embedding is one tensor [d_model] of floating-point numbers; the one for "
        f"{str(path)!r} is a {type(content).__name__}{of}. "
        "Make one with mean_embedding and save_mean."
    )


def _unreadable(path: Path, error: Exception) -> str:
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return (
        f"{str(path)!r} could not be read as a mean embedding: {reason}. Pass a .safetensors file "
        "of save_mean, or a tensor that torch.save wrote."
    )

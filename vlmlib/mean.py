"""The mean visual token over a set of images: what mean ablation puts in a token's place."""

import os
import sys
import uuid
from collections.abc import Iterable, Sized
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from tqdm import tqdm

from vlmlib.errors import MOST_BAD, ImageError, VLMError, too_many
from vlmlib.model import VLM
from vlmlib.pictures import check_header, open_image, pictures_in
from vlmlib.writing import write_whole


def mean_embedding(
    vlm: VLM,
    images: str | Path | Iterable[Image.Image],
    refused: list[ImageError] | None = None,
) -> Float[Tensor, " width"]:
    """The mean of all visual tokens of all images, at the input of the language model (section 3),
    and of what a model adds to them of the picture at later layers.

    Images are read one after the other and summed in double precision, so any number of them fits
    into memory. One that the model cannot read (`ImageError`) is left out, and said.

    **Arguments:** a model; images (the paper took 50,000 of ImageNet's validation split), or a
    folder of them: every picture file under it, by its suffix, in the order of their paths.
    `refused`: images that were left out before, as their errors, to which those are added that are
    left out here.

    **Returns:** `[vlm.width]`, in the type and on the device of the model: `[d_model]`, unless more
    of the picture enters at later layers.

    **Raises:** `VLMError` if there is no image, a file that is no picture, or more than a hundredth
    of the images left out.

    !!! example

        >>> mean_embedding(vlm, [image, image]).shape[0] == vlm.d_model
        True
    """
    total = torch.zeros(vlm.width, dtype=torch.float64)
    refused = [] if refused is None else refused
    tokens = read = 0
    given = _pictures(Path(images)) if isinstance(images, str | Path) else images
    # of how many, one that only iterates does not tell: who hands it over shows how far it is
    quiet = None if isinstance(given, Sized) else True
    for each in tqdm(given, desc="mean embedding", unit="image", leave=False, disable=quiet):
        image = open_image(each) if isinstance(each, Path) else each
        try:
            stimulus = vlm.read(image, "")
        except ImageError as error:
            refused.append(error)
            continue
        parts = [stimulus.embeddings, *stimulus.injected.values()]
        visual = torch.cat([each[stimulus.visual] for each in parts], dim=-1)
        total += visual.double().sum(0).cpu()
        tokens += len(visual)
        read += 1
    if not read and not refused:
        raise VLMError("mean_embedding was given no image. Pass at least one.")
    _check_refused(refused, read)
    return (total / tokens).to(vlm.device, vlm.model.dtype)


def _check_refused(refused: list[ImageError], read: int) -> None:
    """Say what is left out of a mean, and refuse where it is too much."""
    if not refused:
        return
    asked = len(refused) + read
    told = f"{len(refused)} of {asked} images of the mean token are left out, the first: "
    if not read or too_many(len(refused), asked):
        raise VLMError(
            f"{told}{refused[0]} At most {MOST_BAD:.0%} may be. Mend the images, or choose others."
        )
    print(f"\n{told}{refused[0]}", file=sys.stderr)


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
    try:
        write_whole(path, save(tensors, origin))
    except OSError as error:
        raise VLMError(
            f"The mean embedding could not be written to {str(path)!r}: {error}. Free the disk, or "
            "choose a folder in which you may write."
        ) from error


def publish_mean(
    path: str | Path, mean: Float[Tensor, "..."], /, **made_from: object
) -> Float[Tensor, " d_model"]:
    """The mean embedding that stands in a file, which is written if there is none: of several
    processes, on several machines, the first one's is everybody's.

    This needs no lock: a file is linked to its name, which is given once.

    **Arguments:** as `save_mean`.

    **Returns:** what the file holds, whoever wrote it.

    **Raises:** `VLMError` as `save_mean` and `load_mean`.

    !!! example

        >>> import tempfile
        >>> path = f"{tempfile.mkdtemp()}/mean.safetensors"
        >>> first, second = (publish_mean(path, torch.full([16], x), of=x) for x in (1.0, 2.0))
        >>> torch.equal(first, second)
        True
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.stem}-{uuid.uuid4().hex}{path.suffix}")
    save_mean(unfinished, mean, **made_from)
    try:
        os.link(unfinished, path)
    except FileExistsError:
        pass  # another one was first
    except OSError:  # no such links here: then whoever asks for a lock before is alone
        if not path.exists():
            unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return load_mean(path)


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
    found = pictures_in(folder)
    for path in found:  # what is no picture at all is known before the long work begins
        check_header(path)
    return found


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

"""Pictures as they are opened: in RGB, transparent ones on white, deep ones scaled, and whole.

Fails if a picture of any kind gives other pixels than a viewer on white paper would show, or if a
broken one is not named. What a data set says of its broken ones: tests/neo2025/test_damage.py.
"""

import os
import zipfile
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.tiny import picture
from vlmlib import VLM, VLMError
from vlmlib.pictures import as_rgb, bytes_of, fault_of, open_image, pictures_in
from vlmlib.study.example import file_key

RED, WHITE, PINK = (255, 0, 0), (255, 255, 255), (255, 127, 127)


def with_palette(transparency: int | bytes | None) -> Image.Image:
    """One pixel that is red, of a palette."""
    image = Image.new("P", (1, 1), 1)
    image.putpalette([0, 0, 255, *RED])
    if transparency is not None:
        image.info["transparency"] = transparency
    return image


def with_colour_key(mode: str, colour: object, key: object) -> Image.Image:
    image = Image.new(mode, (1, 1), colour)  # pyright: ignore[reportArgumentType]
    image.info["transparency"] = key
    return image


MODES = {
    "RGB": (Image.new("RGB", (1, 1), RED), RED),
    "grey": (Image.new("L", (1, 1), 7), (7, 7, 7)),
    "black and white": (Image.new("1", (1, 1), 1), WHITE),
    "CMYK": (Image.new("CMYK", (1, 1), (0, 255, 255, 0)), RED),
    "RGBA, opaque": (Image.new("RGBA", (1, 1), (*RED, 255)), RED),
    "RGBA, half": (Image.new("RGBA", (1, 1), (*RED, 128)), PINK),
    "RGBA, nothing": (Image.new("RGBA", (1, 1), (*RED, 0)), WHITE),
    "LA, nothing": (Image.new("LA", (1, 1), (7, 0)), WHITE),
    "palette": (with_palette(None), RED),
    "palette, this one transparent": (with_palette(1), WHITE),
    "palette, another one transparent": (with_palette(0), RED),
    "palette, half": (with_palette(bytes([255, 128])), PINK),
    "RGB, a transparent colour": (with_colour_key("RGB", RED, RED), WHITE),
    "grey, a transparent grey": (with_colour_key("L", 7, 7), WHITE),
    "16 bits, white": (Image.fromarray(np.full((1, 1), 65535, np.uint16)), WHITE),
    "16 bits, grey": (Image.fromarray(np.full((1, 1), 257 * 9, np.uint16)), (9, 9, 9)),
    "16 bits, all but black": (Image.fromarray(np.full((1, 1), 255, np.uint16)), (1, 1, 1)),
    "16 bits in 32": (Image.new("I", (1, 1), 65535), WHITE),
    "16 bits in 32, dark": (Image.new("I", (1, 1), 257), (1, 1, 1)),
    "32 bits, black": (Image.new("I", (1, 1), 0), (0, 0, 0)),
}


@pytest.mark.parametrize(("image", "colour"), MODES.values(), ids=MODES)
def test_a_picture_of_any_mode_is_what_it_shows_on_white(image, colour):
    rgb = as_rgb(image)
    assert (rgb.mode, rgb.getpixel((0, 0))) == ("RGB", colour)


@pytest.mark.parametrize(
    ("mode", "value", "reason"),
    [
        ("F", 0.5, "are fractions"),
        ("I", 65536, "exceed 16 bits"),
        ("I", -1, "exceed 16 bits"),
        ("I", 255, "may be of 8 bits or of 16"),
        ("I", 1, "may be of 8 bits or of 16"),
    ],
)
def test_numbers_without_a_known_white_are_refused(mode, value, reason):
    expected = rf"{reason}, so .* not known what is white: mode {mode}\. Scale them to 8 bits"
    with pytest.raises(VLMError, match=expected):
        as_rgb(Image.new(mode, (1, 1), value))


@pytest.mark.parametrize("suffix", ["png", "tiff", "gif", "webp"])
def test_files_of_any_format_are_put_on_white(tmp_path, suffix):
    file = tmp_path / f"a.{suffix}"
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    Image.new("RGBA", (4, 4), (*RED, 0)).save(file, **options)
    assert open_image(file).getpixel((0, 0)) == WHITE
    assert fault_of(file, (4, 4)) == ""


@pytest.mark.parametrize("suffix", ["gif", "png", "webp", "tiff"])
def test_of_an_animated_picture_the_first_frame_counts(tmp_path, suffix):
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, (0, 0, 255))]
    file = tmp_path / f"a.{suffix}"
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    frames[0].save(file, save_all=True, append_images=frames[1:], **options)
    assert open_image(file).getpixel((0, 0)) == RED


def test_sixteen_bits_in_a_file_are_scaled(tmp_path):
    Image.fromarray(np.full((2, 2), 257 * 200, np.uint16)).save(tmp_path / "a.png")
    assert open_image(tmp_path / "a.png").getpixel((0, 0)) == (200, 200, 200)


@pytest.mark.parametrize("orientation", [0, 1, 9])
def test_an_orientation_that_turns_nothing_is_none(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg", exif=exif)
    assert fault_of(tmp_path / "a.jpg", (4, 4)) == ""


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff", "webp"])
def test_a_turned_picture_is_at_fault_only_where_it_is_annotated(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / f"a.{suffix}"
    Image.new("RGB", (4, 4)).save(file, exif=exif)
    assert fault_of(file, (4, 4)).startswith("is turned by its EXIF data")
    assert fault_of(file) == ""


def test_odd_exif_data_do_not_matter(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.jpg", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert fault_of(tmp_path / "a.jpg", (4, 4)) == ""


def test_a_broken_picture_is_named_with_the_next_step(tmp_path):
    (tmp_path / "a.png").write_text("I am a picture")
    with pytest.raises(VLMError) as error:
        open_image(tmp_path / "a.png")
    assert str(error.value) == (
        f"The picture '{tmp_path}/a.png' cannot be read: it is no picture of a known format (BMP, "
        "GIF, JPEG, PNG, PPM, TIFF, WEBP). Mend it, or take it out of the folder or of the "
        "annotations that name it."
    )
    os.mkfifo(tmp_path / "b.png")
    with pytest.raises(VLMError, match=r"b\.png' cannot be read: it is no file: a pipe\."):
        open_image(tmp_path / "b.png")
    with pytest.raises(VLMError, match=r"b\.png' cannot be read: it is no file: a pipe\."):
        bytes_of(tmp_path / "b.png")


def test_a_picture_within_a_zip_file_is_the_same(tmp_path):
    picture().save(tmp_path / "a.png")
    archive = tmp_path / "pictures.zip"
    with zipfile.ZipFile(archive, "w") as out:
        out.write(tmp_path / "a.png", "pictures/a.png")
    inside = archive / "pictures" / "a.png"
    assert open_image(inside).tobytes() == open_image(tmp_path / "a.png").tobytes()
    assert file_key(inside) == file_key(tmp_path / "a.png")
    with pytest.raises(
        VLMError, match=r"pictures\.zip/pictures/b\.png' cannot be read: it is missi"
    ):
        open_image(archive / "pictures" / "b.png")
    with zipfile.ZipFile(archive, "w") as out:
        picture(1).save(tmp_path / "a.png")
        out.write(tmp_path / "a.png", "pictures/a.png")
    os.utime(archive, ns=(0, 0))
    assert open_image(inside).tobytes() == picture(1).tobytes()
    assert file_key(inside) == file_key(tmp_path / "a.png")


def test_a_folder_in_the_shape_of_a_zip_file_is_a_folder(tmp_path):
    (tmp_path / "pictures.zip").mkdir()
    picture().save(tmp_path / "pictures.zip" / "a.png")
    assert open_image(tmp_path / "pictures.zip" / "a.png").size == picture().size


def test_pictures_in_a_folder_are_found_by_their_suffix(tmp_path):
    for name in ("b.JPG", "a.png", "notes.txt"):
        (tmp_path / name).touch()
    os.mkfifo(tmp_path / "c.png")
    assert [path.name for path in pictures_in(tmp_path)] == ["a.png", "b.JPG", "c.png"]


def test_a_model_reads_what_is_transparent_on_white(vlm: VLM):
    clear, white = Image.new("RGBA", (24, 24), (*RED, 0)), Image.new("RGB", (24, 24), WHITE)
    read = [vlm.read(image, "Hi?").embeddings for image in (clear, white)]
    assert read[0].equal(read[1])

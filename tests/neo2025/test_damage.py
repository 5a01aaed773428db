"""The kinds of damage that a data set may have, and what each now says: the image falls, is named
and counted, and nothing else does.

One table: a name, what it does to the files of image 3 of five, and what is said of it. Fails if a
bad image is measured, ends the run, takes a sound one along, or falls in silence; and if a step of
which too much is bad goes on.
"""

import json
import os
import shutil
import socket
import struct
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from claims.neo2025 import sample
from claims.neo2025.authors import AUTHORS
from claims.neo2025.protocol import TEXT
from claims.neo2025.sample import mean_of
from fixtures import filtered
from fixtures.filtered import IDENTIFICATION, Images, filter_1
from vlmlib import VLMError
from vlmlib.study import Store, coco
from vlmlib.study.example import file_key

HEIGHT, WIDTH = SIZE = (80, 100)
BAD = "3"  # the id of the image that is damaged
SPLIT = "train2017"


def square(side: float, left: float = 2, top: float = 3) -> list[float]:
    return [left, top, left + side, top, left + side, top + side, left, top + side]


@dataclass
class Folder:
    """Five images of 100 x 80 with a dog of 40 x 40 each, and two without, in COCO's layout."""

    path: Path
    content: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        images = [
            {"id": k, "file_name": f"{k}.png", "width": WIDTH, "height": HEIGHT}
            for k in range(1, 8)
        ]
        annotations = [
            {"id": 10 * k, "image_id": k, "category_id": 18, "area": 1600, "iscrowd": 0}
            | {"segmentation": [square(40)]}
            for k in range(1, 6)
        ]
        categories = [{"id": 18, "name": "dog"}, {"id": 19, "name": "cat"}]
        self.content = {"images": images, "annotations": annotations, "categories": categories}
        self.pictures.mkdir(parents=True)
        for k in range(1, 8):
            Image.new("RGB", (WIDTH, HEIGHT), (k, 20, 200)).save(self.pictures / f"{k}.png")

    @property
    def pictures(self) -> Path:
        return self.path / SPLIT

    @property
    def picture(self) -> Path:
        return self.pictures / f"{BAD}.png"

    @property
    def image(self) -> dict[str, Any]:
        return self.content["images"][2]

    @property
    def annotation(self) -> dict[str, Any]:
        return self.content["annotations"][2]

    @property
    def file(self) -> Path:
        return self.path / "annotations" / f"instances_{SPLIT}.json"

    def written(self) -> Path:
        self.file.parent.mkdir(exist_ok=True)
        # which json does not write
        self.file.write_text(json.dumps(self.content).replace('"1e999"', "1e999"))
        return self.path


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path / "data")


def ids(images: Images) -> list[str]:
    return [each.id for each in images.examples]


def said(images: Images) -> str:
    return "\n".join(step.told for step in images.steps if step.bad)


Damage = Callable[[Folder], object]


def image(**changes: Any) -> Damage:
    return lambda folder: folder.image.update(changes)


def annotation(**changes: Any) -> Damage:
    return lambda folder: folder.annotation.update(changes)


def outline(segmentation: Any, **changes: Any) -> Damage:
    return annotation(segmentation=segmentation, **changes)


def another(**changes: Any) -> Damage:
    """A second annotation of the image."""
    return lambda folder: folder.content["annotations"].append(
        folder.annotation | {"id": 99, "category_id": 19} | changes
    )


def saved(make: Callable[[], Image.Image], suffix: str = ".png", **options: Any) -> Damage:
    def damage(folder: Folder) -> None:
        make().save(folder.picture, format={".png": "PNG", ".jpg": "JPEG"}[suffix], **options)

    return damage


def replaced(make: Callable[[Path], object]) -> Damage:
    """Something else where the picture was."""

    def damage(folder: Folder) -> None:
        folder.picture.unlink()
        make(folder.picture)

    return damage


def truncated(share: float, kind: str = "PNG") -> Damage:
    def damage(folder: Folder) -> None:
        noise = np.random.default_rng(0).integers(0, 256, size=(HEIGHT, WIDTH, 3), dtype=np.uint8)
        Image.fromarray(noise).save(folder.picture, kind)
        content = folder.picture.read_bytes()
        folder.picture.write_bytes(content[: int(share * len(content))])

    return damage


def secret(folder: Folder) -> Path:
    """A sound picture beside the folder."""
    return Path(shutil.copy(folder.picture, folder.path.parent / "secret.png"))


def named_outside(name: Callable[[Path], str]) -> Damage:
    return lambda folder: folder.image.update(file_name=name(secret(folder)))


def linked_outside(folder: Folder) -> None:
    target = secret(folder)
    folder.picture.unlink()
    folder.picture.symlink_to(target)


def listening(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # the name of a socket may not be long
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)
    os.chdir(here)


def turned(orientation: int, size: tuple[int, int] = (WIDTH, HEIGHT)) -> Damage:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(lambda: Image.new("RGB", size), ".jpg", exif=exif.tobytes())


def code(counts: Any, size: Any = SIZE) -> dict[str, Any]:
    return {"size": list(size) if isinstance(size, tuple) else size, "counts": counts}


def bomb(side: int) -> Damage:
    """A picture of a few bytes that says that it is of many pixels."""

    def make(path: Path) -> None:
        header = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
        packed = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
        packed += struct.pack(">I", 99) + b"IDAT"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + packed + bytes(100))

    return replaced(make)


DAMAGES: dict[str, tuple[Damage, str]] = {
    # what the file says of the image
    "id, text": (image(id=BAD), "images[2]: expected int, got str"),
    "id, fraction": (image(id=3.0), "has no 'id' that can be read (images[2]: expected int"),
    "id, negative": (image(id=-3), "has no 'id' that can be read (images[2]: expected int >= 0"),
    "id, 2^70": (image(id=2**70), "has no 'id' that can be read (images[2]: expected int <="),
    "id, null": (image(id=None), "has no 'id' that can be read (images[2]: expected int, got null"),
    "id, true": (image(id=True), "has no 'id' that can be read (images[2]: expected int, got bool"),
    "width, none": (lambda folder: folder.image.pop("width"), "has no 'width' (images[2])"),
    "width, 0": (image(width=0), "has no 'width' that can be read (images[2]: expected int >= 1"),
    "height, negative": (image(height=-80), "has no 'height' that can be read"),
    "height, text": (image(height="80"), "has no 'height' that can be read"),
    "width, infinite": (image(width=float("inf")), "has no 'width' that can be read"),
    "size, of no photograph": (image(width=10**6, height=10**6), "has more pixels than any photo"),
    "file_name, none": (lambda folder: folder.image.pop("file_name"), "has no 'file_name'"),
    "file_name, empty": (image(file_name=""), "has a 'file_name' that is none (image 3: '')"),
    "file_name, blank": (image(file_name="  "), "has a 'file_name' that is none"),
    "file_name, NUL": (image(file_name="3\0.png"), "has a 'file_name' that is none"),
    "file_name, two lines": (image(file_name="3\n.png"), "has a 'file_name' that is none"),
    "file_name, a number": (image(file_name=3), "has no 'file_name' that can be read"),
    "file_name, too long": (image(file_name="3" * 999), "cannot be opened (333"),
    "file_name, upwards": (
        named_outside(lambda path: f"../../{path.name}"),
        "has a 'file_name' outside the folder (../../secret.png",
    ),
    "file_name, up and down": (
        image(file_name="a/../../../secret.png"),
        "has a 'file_name' outside the folder",
    ),
    "file_name, absolute": (named_outside(str), "has a 'file_name' outside the folder (/"),
    "image, a list": (
        lambda folder: folder.content["images"].__setitem__(2, [3]),
        "Expected object, got array (images[2])",
    ),
    # what it says of its annotation
    "annotation id, text": (annotation(id="30"), "has an annotation that has no 'id'"),
    "annotation id, 2^70": (annotation(id=2**70), "has an annotation that has no 'id'"),
    "category, unknown": (
        annotation(category_id=77),
        "has an annotation of an unknown category (3.png: 77, annotation 30)",
    ),
    "category, null": (annotation(category_id=None), "has no 'category_id' that can be read"),
    "category, text": (annotation(category_id="18"), "has no 'category_id' that can be read"),
    "area, null": (
        annotation(area=None),
        "has an annotation that has no 'area' that can be read (3.png: expected int | float, got "
        "null, annotations[2])",
    ),
    "area, none": (
        lambda folder: folder.annotation.pop("area"),
        "has an annotation that has no 'area' (3.png: annotations[2])",
    ),
    "area, negative": (annotation(area=-1.5), "has an annotation that has no 'area'"),
    "area, not a number": (annotation(area=float("nan")), "has an annotation that has no 'area'"),
    "area, infinite": (annotation(area=float("inf")), "has an annotation that has no 'area'"),
    "area, text": (annotation(area="1600"), "has an annotation that has no 'area'"),
    "crowd, text": (annotation(iscrowd="no"), "has an annotation that has no 'iscrowd'"),
    "crowd, 7": (annotation(iscrowd=7), "has an annotation that has no 'iscrowd'"),
    "another one is bad": (another(area=None), "has an annotation that has no 'area'"),
    # its outlines
    "outline, null": (outline(None), "has no outline (3.png: None, annotation 30)"),
    "outline, none": (
        lambda folder: folder.annotation.pop("segmentation"),
        "has an annotation that has no 'segmentation'",
    ),
    "outline, empty": (outline([]), "has no outline (3.png: []"),
    "outline, text": (outline("2 3 4"), "has no outline (3.png: '2 3 4'"),
    "outline, flat": (outline(square(40)), "has a polygon that is none (3.png: 2"),
    "polygon, empty": (outline([square(40), []]), "has a polygon that is none (3.png: 0 numbers"),
    "polygon, 7 numbers": (outline([square(40)[:7]]), "is none (3.png: 7 numbers, annotation 30)"),
    "polygon, 4 numbers": (outline([square(40)[:4]]), "is none (3.png: 4 numbers"),
    "polygon, text in it": (outline([[*square(40)[:7], "3"]]), "has a polygon that is none"),
    "polygon, not a number": (
        outline([[*square(40)[:7], float("nan")]]),
        "has no outline (3.png: Number out of range",
    ),
    "polygon, out of range": (
        outline([[*square(40)[:7], "1e999"]]),
        "has no outline (3.png: Number out of range",
    ),
    "polygon, outside": (
        outline([square(40, left=200)]),
        "has an outline beyond the picture (3.png: at 200 of 100",
    ),
    "polygon, half outside": (outline([square(40, left=70)]), "beyond the picture (3.png: at 110"),
    "polygon, above": (outline([square(40, top=-5)]), "beyond the picture (3.png: at -5 of 80"),
    "polygon, no pixel": (
        outline([[5, 5] * 4]),
        "has an outline that covers no pixel (3.png: annotation 30)",
    ),
    "code, without size": (outline({"counts": [0, 8000]}), "of another size than the picture"),
    "code, of another size": (
        outline(code([0, 8000], (100, 80))),
        "has a mask of another size than the picture (3.png: [100, 80], expected [80, 100]",
    ),
    "code, size a text": (outline(code([0, 8000], "80x100")), "of another size than the picture"),
    "code, without counts": (outline({"size": SIZE}), "cannot be read (3.png: counts are None"),
    "code, too short": (outline(code([10, 90])), "does not add up (3.png: to 100 of 8000"),
    "code, too long": (outline(code([10, 9990])), "does not add up (3.png: to 10000 of 8000"),
    "code, negative": (outline(code([-10, 8010])), "does not add up"),
    "code, fractions": (outline(code([10.5, 7989.5])), "cannot be read (3.png: counts are [10.5"),
    "code, empty": (outline(code([])), "does not add up (3.png: to 0 of 8000"),
    "code, text that is none": (outline(code("\u00e4\u00f6")), "cannot be read (3.png: no run"),
    "code, text too short": (outline(code("04")), "does not add up (3.png: to 4 of 8000"),
    "code, text cut off": (outline(code("0PP")), "cannot be read (3.png: it ends within a number"),
    "code, no pixel": (outline(code([8000])), "has an outline that covers no pixel"),
    "area, of the bounding box": (
        outline([[2, 3, 12, 3, 42, 43, 32, 43]]),  # of a slanting thing
        "has an area that contradicts its outline (3.png: 1600, which covers",
    ),
    "area, of another scale": (
        outline([square(20)]),
        "has an area that contradicts its outline (3.png: 1600, which covers 400 pixels",
    ),
    "another one's outline": (another(segmentation=[[1, 2, 3]], area=9), "is none (3.png: 3 num"),
    # its picture
    "picture, missing": (lambda folder: folder.picture.unlink(), "is missing (3.png)"),
    "picture, empty": (replaced(Path.touch), "is no picture of a known format"),
    "picture, a text": (replaced(lambda path: path.write_text("I am")), "is no picture of a known"),
    "picture, a program's": (
        replaced(
            lambda path: path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
        ),
        "is no picture of a known format",
    ),
    "picture, truncated": (truncated(0.5), "cannot be decoded (3.png: "),
    "picture, almost whole": (truncated(0.95), "cannot be decoded (3.png: "),
    "picture, JPEG, half": (
        truncated(0.5, "JPEG"),
        "cannot be decoded (3.png: image file is trunc",
    ),
    "picture, JPEG, almost whole": (
        truncated(0.95, "JPEG"),
        "cannot be decoded (3.png: image file",
    ),
    "picture, BMP, half": (truncated(0.5, "BMP"), "cannot be decoded (3.png: image file is trunc"),
    "picture, WebP, half": (truncated(0.5, "WEBP"), "3.png"),
    "picture, TIFF, half": (truncated(0.5, "TIFF"), "cannot be decoded (3.png: "),
    "picture, its header alone": (truncated(0.002), "c"),
    "picture, a folder": (replaced(Path.mkdir), "is no file (3.png: a folder)"),
    "picture, a pipe": (replaced(os.mkfifo), "is no file (3.png: a pipe)"),
    "picture, a socket": (replaced(listening), "is no file (3.png: a socket)"),
    "picture, a device": (
        replaced(lambda path: path.symlink_to("/dev/zero")),
        "is no file (3.png: a device)",
    ),
    "picture, a link to itself": (
        replaced(lambda path: path.symlink_to(path)),
        "cannot be opened (3.png: Too many levels of symbolic links)",
    ),
    "picture, a link to nothing": (
        replaced(lambda path: path.symlink_to("nothing.png")),
        "is missing (3.png)",
    ),
    "picture, a link outside": (linked_outside, "is a link out of its folder (3.png)"),
    "picture, one row less": (
        saved(lambda: Image.new("RGB", (WIDTH, HEIGHT - 1))),
        "is of another size than annotated (3.png: 100 x 79, annotated as 100 x 80)",
    ),
    "picture, sides swapped": (
        saved(lambda: Image.new("RGB", SIZE)),
        "is of another size than annotated (3.png: 80 x 100, annotated as 100 x 80)",
    ),
    "picture, upside down": (turned(3), "is turned by its EXIF data"),
    "picture, mirrored": (turned(2), "is turned by its EXIF data"),
    "picture, turned by 90": (turned(6, SIZE), "is turned by its EXIF data"),
    "picture, a bomb": (bomb(30_000), "has more pixels than any photograph (3.png"),
    "picture, a small bomb": (bomb(10_000), "than any photograph (3.png: 10000 x 10000)"),
    "picture, fractions": (
        lambda folder: Image.new("F", (WIDTH, HEIGHT), 0.5).save(folder.picture, format="TIFF"),
        "has pixels that are fractions, so",
    ),
    "picture, 8 bits or 16": (
        lambda folder: Image.new("I", (WIDTH, HEIGHT), 255).save(folder.picture, format="TIFF"),
        "has pixels that may be of 8 bits or of 16, so",
    ),
    "picture, 32 bits": (
        lambda folder: Image.new("I", (WIDTH, HEIGHT), 70000).save(folder.picture, format="TIFF"),
        "has pixels that exceed 16 bits, so",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("damage", "told"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_image_falls_alone_and_is_told(folder: Folder, damage: Damage, told: str):
    damage(folder)
    images = filter_1(folder.written(), IDENTIFICATION)
    images.check()
    assert ids(images) == ["1", "2", "4", "5"]
    assert told in said(images)
    assert "\n" not in "".join(step.told for step in images.steps)


def test_every_step_counts_what_it_was_given_and_left(folder: Folder):
    folder.content["annotations"][0].update(category_id=77)
    folder.content["annotations"][1].update(segmentation=[[1, 2, 3]])
    folder.picture.unlink()
    folder.content["images"].append({"id": 8, "file_name": "8.png", "width": 0, "height": 1})
    images = filter_1(folder.written(), IDENTIFICATION)
    assert [(step.name, step.given, step.left) for step in images.steps] == [
        ("images listed in instances_train2017.json", 8, 7),
        ("annotations of a listed image", 5, 5),
        ("images with sound annotations", 7, 6),
        ("images that pass filter 1", 6, 4),
        ("of these with sound outlines", 4, 3),
        ("pictures that are whole", 3, 2),
    ]
    images.check()  # never for a single one


# Two of them, of which it cannot be known which one is meant.


def test_an_id_or_a_file_that_is_used_twice_leaves_both_out(folder: Folder):
    folder.image.update(id=2)
    assert ids(images := filter_1(folder.written(), IDENTIFICATION)) == ["1", "4", "5"]
    assert "has an id that another image has (2.png: 2, 3.png: 2)" in said(images)
    folder.image.update(id=3, file_name="2.png")
    assert ids(images := filter_1(folder.written(), IDENTIFICATION)) == ["1", "4", "5"]
    assert "has a file that another image has (2.png: image 2, 2.png: image 3)" in said(images)
    folder.image.update(file_name="3.png")
    folder.annotation.update(id=20)
    assert ids(images := filter_1(folder.written(), IDENTIFICATION)) == ["1", "4", "5"]
    assert "has an annotation whose id another one has (2.png: 20, 3.png: 20)" in said(images)


def test_an_id_that_another_bad_image_has_is_no_ones(folder: Folder):
    folder.image.update(id=2, width=0)
    assert ids(filter_1(folder.written(), IDENTIFICATION)) == ["1", "4", "5"]


@pytest.mark.parametrize(
    "category",
    [{"id": 18, "name": "wolf"}, {"id": 18}, {"id": "18", "name": "dog"}, {"id": 18, "name": " "}],
)
def test_a_bad_category_takes_the_images_that_are_annotated_with_it(folder: Folder, category):
    folder.annotation.update(category_id=19)
    categories = folder.content["categories"]
    folder.content["categories"] = [
        *([categories[0]] if category.get("name") == "wolf" else []),
        category,
        categories[1],
    ]
    images = filter_1(folder.written(), IDENTIFICATION)
    assert ids(images) == ["3"]
    with pytest.raises(
        VLMError, match=r"'images with sound annotations' 3 of 7 .*unknown category"
    ):
        images.check()


def test_an_annotation_of_no_listed_image_is_counted_and_harms_none(folder: Folder):
    folder.content["annotations"].append(folder.annotation | {"id": 60, "image_id": 99})
    images = filter_1(folder.written(), IDENTIFICATION)
    images.check()
    assert ids(images) == ["1", "2", "3", "4", "5"]
    assert said(images) == (
        "5 of 6 annotations of a listed image, 1 bad: is of an image that is not listed "
        "(annotation 60: 99)"
    )
    folder.annotation.update(image_id="3")
    images = filter_1(folder.written(), IDENTIFICATION)
    assert "1 has no 'image_id' that can be read (annotations[2]: expected int, got str)" in said(
        images
    )


# Crowds.


def test_a_crowd_is_no_target_but_for_the_authors(folder: Folder):
    folder.annotation.update(iscrowd=1)
    assert (TEXT.crowds, AUTHORS.crowds) == (False, True)
    assert ids(filter_1(folder.written(), IDENTIFICATION)) == ["1", "2", "4", "5"]
    assert ids(filter_1(folder.path, IDENTIFICATION, crowds=True)) == ["1", "2", "3", "4", "5"]
    assert "bad" not in said(filter_1(folder.path, IDENTIFICATION))


def test_a_crowd_counts_as_an_annotation(folder: Folder):
    """A dog beside a crowd of dogs is not the only one; three crowds of cats are three more."""
    another(category_id=18, iscrowd=1)(folder)
    assert ids(filter_1(folder.written(), IDENTIFICATION)) == ["1", "2", "4", "5"]
    folder.content["annotations"].pop()
    for k in range(3):
        another(id=90 + k, iscrowd=1)(folder)
    assert ids(filter_1(folder.written(), IDENTIFICATION)) == ["1", "2", "4", "5"]


def test_what_says_nothing_of_crowds_is_none(folder: Folder):
    del folder.annotation["iscrowd"]
    assert ids(filter_1(folder.written(), IDENTIFICATION)) == ["1", "2", "3", "4", "5"]


# Shares.


def test_too_large_a_share_of_bad_ones_is_an_error_that_tells_the_step(folder: Folder):
    for k in (2, 3):
        (folder.pictures / f"{k}.png").unlink()
    images = filter_1(folder.written(), IDENTIFICATION)
    with pytest.raises(VLMError) as error:
        images.check()
    assert str(error.value) == (
        "At the step 'pictures that are whole' 3 of 5 are left. Bad: 2 (40.0%, at most 1.0%), is "
        "missing "
        f"(2.png, 3.png). Put them into '{folder.pictures}', or train2017.zip beside it. "
        "Mend them, or pass --vlm-bad SHARE to go on without more of them."
    )
    filter_1(folder.path, IDENTIFICATION, most_bad=0.4).check()
    with pytest.raises(VLMError, match=r"at most 39\.0%"):
        filter_1(folder.path, IDENTIFICATION, most_bad=0.39).check()


def test_no_image_left_is_an_error_however_many_may_be_bad(folder: Folder):
    shutil.rmtree(folder.pictures)
    images = filter_1(folder.written(), IDENTIFICATION, most_bad=1.0)
    with pytest.raises(
        VLMError, match=r"^At .* 'pictures that are whole' 0 of 5 are left\. Bad: 5, is m"
    ):
        images.check()
    for each in folder.content["annotations"]:
        each["area"] = 900
    images = filter_1(folder.written(), IDENTIFICATION)
    with pytest.raises(
        VLMError, match=r"'images that pass filter 1' 0 of 7 are left\. Take a data"
    ):
        images.check()
    folder.content["images"] = folder.content["annotations"] = []
    with pytest.raises(VLMError, match="lists no image in its split train2017"):
        filter_1(folder.written(), IDENTIFICATION).check()


def test_the_first_of_many_bad_ones_are_named_and_all_are_counted(folder: Folder):
    for each in folder.content["images"]:
        each["width"] = 0
    [told, *_] = [step.told for step in filter_1(folder.written(), IDENTIFICATION).steps]
    assert told.endswith("images[4]: expected int >= 1, and 2 more)")


# The whole file.


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "cannot be read as JSON"),
        ('{"images": [', "cannot be read as JSON"),
        (f'{{"images": {"[" * 5000 + "]" * 5000}}}', "cannot be read as JSON"),
        ("[1]", "is not in COCO's instances format"),
        ('{"images": []}', "no list 'annotations'"),
        ('{"images": {}, "annotations": [], "categories": []}', "no list 'images'"),
        ('{"images": [1,], "annotations": [], "categories": []}', "cannot be read as JSON"),
    ],
)
def test_a_file_that_is_none_is_named(folder: Folder, content: str, message: str):
    folder.written()
    folder.file.write_text(content)
    with pytest.raises(VLMError, match=message) as error:
        filter_1(folder.path, IDENTIFICATION)
    assert str(folder.file) in str(error.value)


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir])
def test_a_file_that_is_no_regular_one_is_told_and_never_waited_for(folder: Folder, make):
    folder.written()
    folder.file.unlink()
    make(folder.file)
    with pytest.raises(VLMError, match=r"json' cannot be read \(it is no regular file\)"):
        filter_1(folder.path, IDENTIFICATION)
    make(folder.path / "asked.json")
    with pytest.raises(VLMError, match=r"json' cannot be read as JSON \(it is no regular file\)"):
        coco.questions_of(folder.path, folder.path / "asked.json")


def test_a_captions_file_is_told_by_what_it_lacks(folder: Folder):
    for each in folder.content["annotations"]:
        each.update(caption="A dog.")
        del each["segmentation"], each["area"], each["category_id"]
    with pytest.raises(VLMError, match="has an annotation that has no 'category_id'"):
        filter_1(folder.written(), IDENTIFICATION).check()


@pytest.mark.parametrize("content", ['{"area": "pixels"}', "[]", '{"area": "feet", "above": 1}'])
def test_bounds_that_are_none_are_told(folder: Folder, content: str):
    (folder.written() / "filter.json").write_text(content)
    with pytest.raises(VLMError, match=r"filter\.json' holds"):
        filter_1(folder.path, IDENTIFICATION)


# Zip files.


def zipped(folder: Folder) -> Path:
    archive = folder.path / f"{SPLIT}.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for each in sorted(folder.pictures.iterdir()):
            out.write(each, f"{SPLIT}/{each.name}")
    shutil.rmtree(folder.pictures)
    return archive


def test_pictures_are_read_from_cocos_zip_file_in_place(folder: Folder):
    unpacked = filter_1(folder.written(), IDENTIFICATION)
    pixels = [each.image.tobytes() for each in unpacked.examples]
    content = [each.content for each in unpacked.examples]
    keys = [file_key(path) for path in mean_of(None, unpacked)[0].pictures]
    zipped(folder)
    images = filter_1(folder.path, IDENTIFICATION)
    images.check()
    assert [each.image.tobytes() for each in images.examples] == pixels
    assert [each.content for each in images.examples] == content
    assert [file_key(path) for path in mean_of(None, images)[0].pictures] == keys
    assert [path.name for path in folder.path.iterdir()].count(SPLIT) == 0


def test_a_picture_that_a_zip_file_lacks_or_spoils_falls_alone(folder: Folder):
    folder.picture.unlink()
    archive = zipped(folder)
    assert "is missing (3.png)" in said(images := filter_1(folder.written(), IDENTIFICATION))
    assert ids(images) == ["1", "2", "4", "5"]
    content = archive.read_bytes()
    at = content.index(b"4.png") + 60
    archive.write_bytes(content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :])
    images = filter_1(folder.path, IDENTIFICATION)
    assert ids(images) == ["1", "2", "5"]
    assert "cannot be decoded (4.png: Bad CRC-32" in said(images)


def test_a_zip_file_that_is_none_is_told(folder: Folder):
    archive = zipped(folder)
    archive.write_bytes(archive.read_bytes()[:300])
    with pytest.raises(VLMError, match=r" 0 of 5 are left.* File is not a zip file"):
        filter_1(folder.written(), IDENTIFICATION).check()


# The mean's pictures.


def test_the_mean_leaves_out_what_is_bad_and_says_how_many_it_has(folder: Folder):
    (folder.pictures / "6.png").unlink()
    images = filter_1(folder.written(), IDENTIFICATION)
    mean, step = mean_of(None, images)
    assert [path.name for path in mean.pictures] == ["7.png"]
    assert step.told == (
        "1 of 2 pictures for the mean token (200 asked for), 1 bad: is missing (6.png)"
    )
    (folder.pictures / "7.png").unlink()
    with pytest.raises(VLMError, match=r"'pictures for the mean token .* 0 of 2 .*Pass --vlm-mean"):
        mean_of(None, images)


def test_the_mean_takes_as_many_as_are_asked_for(folder: Folder, monkeypatch):
    monkeypatch.setattr(sample, "MEAN_IMAGES", 1)
    images = filter_1(folder.written(), IDENTIFICATION)
    assert [path.name for path in mean_of(None, images)[0].pictures] == ["6.png"]
    (folder.pictures / "6.png").write_text("none")
    assert [path.name for path in mean_of(None, images)[0].pictures] == ["7.png"]


def test_the_mean_of_a_folder_is_over_its_sound_pictures(folder: Folder, tmp_path: Path):
    images = filter_1(folder.written(), IDENTIFICATION)
    (folder.pictures / "3.png").write_text("none")
    os.remove(folder.pictures / "4.png")
    os.mkfifo(folder.pictures / "4.png")
    images = Images("data", images.examples, [], most_bad=0.5)
    mean, step = mean_of(folder.pictures, images)
    assert [path.name for path in mean.pictures] == [f"{k}.png" for k in (1, 2, 5, 6, 7)]
    assert step.told.startswith("5 of 7 pictures for the mean token, 2 bad: ")
    with pytest.raises(VLMError, match=r"'pictures for the mean token' 5 of 7 are left\. Bad: 2 "):
        mean_of(folder.pictures, Images("data", images.examples, []))


def test_the_name_of_a_picture_cannot_tear_a_line_apart(tmp_path: Path):
    (tmp_path / "a\n\x1b[31m.png").write_text("none")
    with pytest.raises(VLMError, match=r"\(a\\n\\x1b\[31m\.png\)"):
        mean_of(tmp_path, Images("data", [], []))


def test_where_every_image_passes_there_is_no_mean(folder: Folder):
    images = filter_1(folder.written(), IDENTIFICATION)
    with pytest.raises(VLMError, match=r"There is no picture for the mean token.*Pass --vlm-mean"):
        mean_of(None, Images("data", images.examples, []))


# Once.


def test_files_are_looked_at_once_for_all_protocols_processes_and_runs(
    folder: Folder, tmp_path: Path, monkeypatch
):
    looked: list[str] = []
    index = coco.index
    monkeypatch.setattr(coco, "index", lambda file: looked.append(file.name) or index(file))
    folder.written()
    found = []
    for _ in range(2):  # a later run
        store = Store(tmp_path / "store")
        for purpose in (IDENTIFICATION, filtered.LENS):
            for crowds in (False, True):
                images = filter_1(folder.path, purpose, crowds=crowds, store=store)
                found.append([each.content for each in images.examples])
        # what is in the file, and which pictures are whole
        assert store.database.execute("SELECT count(*) FROM remembered").fetchone() == (2,)
        store.close()
    assert looked == [folder.file.name]
    assert found[:4] == found[4:]
    assert found[0] == found[1] != found[2] == []
    assert found[0] == [each.content for each in filter_1(folder.path, IDENTIFICATION).examples]


def test_another_file_bounds_or_picture_is_looked_at_again(folder: Folder, tmp_path: Path):
    store = Store(tmp_path / "store")

    def found() -> list[str]:
        return ids(filter_1(folder.path, IDENTIFICATION, store=store))

    folder.written()
    assert found() == ["1", "2", "3", "4", "5"]
    folder.annotation.update(area=1999, segmentation=[square(44.5)])
    folder.written()
    (folder.path / "filter.json").write_text(
        json.dumps({"area": "pixels", "above": 1700, "below": 2000, "annotations_below": 4})
    )
    assert found() == ["3"]
    (folder.path / "filter.json").unlink()
    assert found() == ["1", "2", "3", "4", "5"]
    folder.picture.write_text("none")
    assert found() == ["1", "2", "4", "5"]
    store.close()

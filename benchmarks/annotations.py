"""How long does filter 1 take on annotations of COCO train2017's size, and in how much memory?

`python -m benchmarks.annotations` writes such a file once (118,287 images, 860,001 annotations with
realistic polygons, about 450 MB) and reads it in a process of its own, then again from the store.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

IMAGES, ANNOTATIONS, CATEGORIES = 118_287, 860_001, 80
SIZE = (480, 640)  # height, width
POINTS = 22  # of a polygon, on average; COCO's train2017 has about as many numbers per byte
CROWDS = 0.012
NAME = "instances_train2017.json"


def write(folder: Path, images: int = IMAGES, annotations: int = ANNOTATIONS) -> Path:
    """An annotation file of so many images and annotations, in COCO's layout and order (none)."""
    generator = np.random.default_rng(0)
    file = folder / "annotations" / NAME
    file.parent.mkdir(parents=True, exist_ok=True)
    numbers = generator.permutation(6 * images)[:images] + 1
    categories = [{"supercategory": "thing", "id": k, "name": f"thing {k}"} for k in range(1, 81)]
    with file.open("w") as out:
        out.write('{"info": {"description": "generated"}, "licenses": [], "images": [')
        _write(out, (_image(int(number)) for number in numbers))
        out.write('], "annotations": [')
        _write(out, _annotations(numbers, annotations, generator))
        out.write(f'], "categories": {json.dumps(categories)}}}')
    return file


def _write(out: Any, entries: Iterator[dict[str, Any]]) -> None:
    for at, entry in enumerate(entries):
        out.write(f"{', ' if at else ''}{json.dumps(entry)}")


def _image(number: int) -> dict[str, Any]:
    height, width = SIZE
    name, at = f"{number:012}.jpg", f"http://images.cocodataset.org/train2017/{number:012}.jpg"
    return {
        "license": 3,
        "file_name": name,
        "coco_url": at,
        "height": height,
        "width": width,
        "date_captured": "2013-11-14 11:18:45",
        "flickr_url": at,
        "id": number,
    }


def _annotations(
    numbers: np.ndarray, count: int, generator: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """As in COCO, a few images have many of them, and most objects are small."""
    weights = generator.gamma(1.0, size=len(numbers))
    owners = generator.choice(numbers, size=count, p=weights / weights.sum())
    for at, owner in enumerate(owners):
        height, width = SIZE
        radius = min(np.exp(generator.normal(3.4, 1.0)), 200)
        points = max(4, int(generator.gamma(4.0, POINTS / 4)))
        angles = np.linspace(0, 2 * np.pi, points, endpoint=False)
        radii = radius * generator.uniform(0.7, 1.0, points)
        x = np.clip(generator.uniform(0, width) + radii * np.cos(angles), 0, width).round(2)
        y = np.clip(generator.uniform(0, height) + radii * np.sin(angles), 0, height).round(2)
        area = abs(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))) / 2
        entry = {
            "segmentation": [np.stack([x, y], 1).ravel().tolist()],
            "area": float(area),
            "iscrowd": 0,
            "image_id": int(owner),
            "bbox": [x.min(), y.min(), np.ptp(x).round(2), np.ptp(y).round(2)],
            "category_id": int(generator.integers(1, CATEGORIES + 1)),
            "id": at + 1,
        }
        if generator.random() < CROWDS:
            counts = [1000, 1500, height * width - 2500]
            entry |= {"segmentation": {"counts": counts, "size": [*SIZE]}, "iscrowd": 1}
            entry["area"] = 1500
        yield entry


def measure(folder: Path) -> None:
    """Filter 1 of both purposes, up to the pictures, which this folder has none of."""
    from fixtures import filtered
    from vlmlib.study import Store

    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with closing(Store(folder / "store")) as store:
        begun, worked = time.perf_counter(), time.process_time()
        found = [
            filtered.filter_1(folder, purpose, store=store)
            for purpose in (filtered.IDENTIFICATION, filtered.LENS)
        ]
        seconds, worked = time.perf_counter() - begun, time.process_time() - worked
        (kept,) = store.database.execute("SELECT sum(length(value)) FROM remembered").fetchone()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    passing = [each.steps[3].left for each in found]
    took = f"{seconds:.1f} | {worked:.1f} | {peak:,.0f} | {imported:,.0f}"
    print(f"| {took} | {kept / 2**20:.1f} | {passing} |")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, help="where the file is, or is to be written")
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--measure", action="store_true", help="read it once, in this process")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    if options.measure:
        return measure(folder)
    file = folder / "annotations" / NAME
    if not file.exists():
        write(folder, options.images, ANNOTATIONS * options.images // IMAGES)
    print(f"{file}: {file.stat().st_size / 1e6:.0f} MB")
    print("| seconds | of work | peak, MiB | of which imports | kept, MiB | pass filter 1 |")
    print("|---|---|---|---|---|---|")
    for _ in range(2):  # the second one reads what the first one kept
        command = [sys.executable, "-m", "benchmarks.annotations", "--measure", "--folder"]
        subprocess.run([*command, str(folder)], check=True)
    return None


if __name__ == "__main__":
    main()

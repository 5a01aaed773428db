"""The paper's own run in small: `python -m tests.rehearsal FOLDER`, or `make rehearsal`.

Everything is as on the machine of somebody who runs it, but for its size: the three checkpoints lie
in the hub's cache under their own names, with the hub's files (tests/layouts.py); the data set has
COCO's layout, with two splits, JPEGs and what is wrong with real data; and the commands are those
of docs/run-the-paper.md and docs/cluster.md. Each way to run it must give the same rows:
undisturbed, killed halfway and taken up again, in four shards, on workers of Ray.
"""

import argparse
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pycocotools import mask as run_length

from fixtures import filtered
from fixtures.models import MODELS, SHIPPED_DATA
from tests import layouts
from vlmlib.study import Object

ROOT = Path(__file__).parent.parent
MAKERS = {
    "llava-1.5-7b": layouts.llava_1_5,
    "llava-phi-3": layouts.llava_phi_3,
    "qwen2-vl-2b": layouts.qwen2_vl,
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"
# By how much the shipped scenes are enlarged, so that their objects have the areas that the paper's
# filters ask for: 1,000 to 2,000 pixels, and 20,000 to 30,000.
SPLITS = {"train2017": 1.5, "val2017": 3.8}
EMPTY = 800  # images without an object, of which COCO has many
ROWS = """
SELECT model, data, protocol, task, design, example, arm, right, probability, tokens, answer,
    detail, moved, attention, reached FROM results
"""
LOADS = """
import os
from vlmlib import VLM
load = VLM.load.__func__
def counting(cls, source, **options):
    with open(os.environ["LOADS"], "a") as file:
        file.write(f"{source}\\n")
    return load(cls, source, **options)
VLM.load = classmethod(counting)
"""


@dataclass(frozen=True)
class Rehearsal:
    """A folder with all that a run needs, made of so many `scenes`."""

    folder: Path
    scenes: int

    @property
    def data(self) -> Path:
        return self.folder / "coco"

    def prepare(self) -> None:
        """Write the checkpoints and the data set."""
        shutil.rmtree(self.folder, ignore_errors=True)
        for name, make in MAKERS.items():
            home = self.folder / "hf" / "hub" / f"models--{MODELS[name].replace('/', '--')}"
            make(home / "snapshots" / COMMIT)
            (home / "refs").mkdir()
            (home / "refs" / "main").write_text(COMMIT)
        write_coco(self.data, self.scenes)
        damage(self.data)
        (self.folder / "loads.py").write_text(LOADS)

    def command(self, name: str, *options: str) -> list[str]:
        """The command line of a run whose store and report go by a name."""
        pytest = [sys.executable, "-m", "pytest", "claims/", "-m", "gpu", "--vlm-device", "cpu"]
        return [
            *(*pytest, "-p", "loads", "-p", "no:cacheprovider", "--vlm-bad", "0.3"),
            *("--vlm-coco", str(self.data)),
            *("--vlm-store", str(self.folder / name), *options),
        ]

    def environment(self, name: str) -> dict[str, str]:
        paths = os.pathsep.join([str(ROOT), str(self.folder)])
        own = {"HF_HOME": str(self.folder / "hf"), "HF_HUB_OFFLINE": "1", "PYTHONPATH": paths}
        return {**os.environ, **own, "LOADS": str(self.folder / f"{name}.loads")}

    def run(self, name: str, *options: str) -> str:
        """Run to the end. What it printed is shown, and returned."""
        command = self.command(name, *options)
        print(f"\n$ pytest {' '.join(command[3:])}", flush=True)
        process = subprocess.Popen(
            command, cwd=ROOT, env=self.environment(name), stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        lines = []
        assert process.stdout
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
        # 1: the verdicts of a model that knows nothing may refute a claim
        if process.wait() not in (0, 1):
            raise SystemExit(f"The run {name!r} ended with {process.returncode}.")
        return "".join(lines)

    def kill(self, name: str, units: int, *options: str) -> str:
        """Run until the store has so many units, and send SIGTERM then."""
        process = subprocess.Popen(
            self.command(name, *options), cwd=ROOT, env=self.environment(name),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        while process.poll() is None and self.count(name) < units:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=120)
        [told] = re.findall(r"interrupted by SIGTERM.*", out) or [out]
        print(f"\nkilled after {self.count(name)} images: {told}", flush=True)
        return told

    def count(self, name: str) -> int:
        """How many units a store has."""
        file = self.folder / name / "rows.sqlite"
        try:
            with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as database:
                return database.execute("SELECT count(*) FROM units").fetchone()[0]
        except sqlite3.OperationalError:  # not yet there
            return 0

    def rows(self, name: str) -> list[tuple[Any, ...]]:
        """All that a store shows, but for times and where it was measured."""
        found = []
        for file in (self.folder / name).glob("*.sqlite"):
            with closing(sqlite3.connect(file)) as database:
                found += database.execute(ROWS).fetchall()
        return sorted(found, key=repr)

    def loads(self, name: str) -> list[str]:
        """The models that a run has loaded, in their order."""
        file = self.folder / f"{name}.loads"
        return file.read_text().split() if file.exists() else []


def write_coco(folder: Path, scenes: int) -> None:
    """The first shipped scenes as COCO's two splits: JPEGs, areas in pixels, and images without an
    object."""
    content = json.loads((SHIPPED_DATA / "annotations" / "instances_eval.json").read_text())
    asked = json.loads((SHIPPED_DATA / "questions.json").read_text())
    content["images"] = content["images"][:scenes]
    chosen = {each["id"] for each in content["images"]}
    content["annotations"] = [each for each in content["annotations"] if each["image_id"] in chosen]
    questions = {name: each for name, each in asked.items() if int(name) in chosen}
    (folder / "annotations").mkdir(parents=True)
    for split, times in SPLITS.items():
        (folder / split).mkdir()
        images = [_image(each, folder / split, times) for each in content["images"]]
        images += [_empty(10_000 + number, folder / split) for number in range(EMPTY)]
        by_id = {each["id"]: each for each in images}
        annotations = [
            _annotation(each, by_id[each["image_id"]]) for each in content["annotations"]
        ]
        _write(folder, split, {**content, "images": images, "annotations": annotations})
    (folder / "questions.json").write_text(json.dumps(questions))


def _image(entry: dict[str, Any], folder: Path, times: float) -> dict[str, Any]:
    size = round(entry["width"] * times), round(entry["height"] * times)
    name = f"{entry['id']:012}.jpg"
    with Image.open(SHIPPED_DATA / "eval" / entry["file_name"]) as picture:
        picture.convert("RGB").resize(size).save(folder / name, quality=90)
    return {**entry, "file_name": name, "width": size[0], "height": size[1]}


def _empty(number: int, folder: Path) -> dict[str, Any]:
    name = f"{number:012}.jpg"
    Image.new("RGB", (64, 48), (number % 256, 90, 120)).save(folder / name)
    return {"id": number, "file_name": name, "width": 64, "height": 48}


def _annotation(entry: dict[str, Any], image: dict[str, Any]) -> dict[str, Any]:
    """An annotation of an image that was enlarged, as a run-length code."""
    size = image["width"], image["height"]
    code = entry["segmentation"]
    mask = Object("", code, tuple(code["size"]) if isinstance(code, dict) else size[::-1]).mask
    large = np.asarray(Image.fromarray(mask).resize(size), np.uint8)
    found: Any = run_length.encode(np.asfortranarray(large))
    outline = {"size": list(found["size"]), "counts": found["counts"].decode()}
    return {**entry, "segmentation": outline, "area": int(large.sum())}


def _write(folder: Path, split: str, content: dict[str, Any]) -> None:
    (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(content))


Damaged = Callable[[dict[str, Any], dict[str, Any], Path], object]
# What is wrong with one image each: its entry, the target's annotation, its picture.
DAMAGE: dict[str, Damaged] = {
    "id is text": lambda image, _a, _p: image.update(id=str(image["id"])),
    "id of 2^70": lambda image, _a, _p: image.update(id=2**70),
    "path leads out": lambda image, _a, _p: image.update(file_name="../secret.jpg"),
    "absolute path": lambda image, _a, _p: image.update(file_name="/etc/passwd"),
    "no outline": lambda _i, annotation, _p: annotation.update(segmentation=None),
    "no area": lambda _i, annotation, _p: annotation.update(area=None),
    "unknown category": lambda _i, annotation, _p: annotation.update(category_id=999),
    "a crowd": lambda _i, annotation, _p: annotation.update(iscrowd=1),
    "seven numbers": lambda _i, annotation, _p: annotation.update(
        segmentation=[[1, 1, 9, 1, 9, 9, 1]]
    ),
    "outside": lambda _i, annotation, _p: annotation.update(
        segmentation=[[900, 900, 940, 900, 940, 940]]
    ),
    "truncated": lambda _i, _a, picture: picture.write_bytes(
        picture.read_bytes()[: picture.stat().st_size // 2]
    ),
    "missing": lambda _i, _a, picture: picture.unlink(),
    "another size": lambda _i, _a, picture: Image.new("RGB", (33, 44)).save(picture),
    "turned": lambda _i, _a, picture: _turn(picture),
    "a pipe": lambda _i, _a, picture: (picture.unlink(), os.mkfifo(picture)),
    "transparent": lambda image, _a, picture: _as_png(picture, "RGBA"),
}


def damage(folder: Path) -> None:
    """Damage one image each in train2017, of those that pass filter 1: every second."""
    file = folder / "annotations" / "instances_train2017.json"
    chosen = filtered.filter_1(folder, filtered.IDENTIFICATION).examples[1::2]
    content = json.loads(file.read_text())
    images = {str(each["id"]): each for each in content["images"]}
    names = {each["id"]: each["name"] for each in content["categories"]}
    for example, change in zip(chosen, DAMAGE.values(), strict=False):
        names = {each["id"]: each["name"] for each in content["categories"]}
        [target] = [
            each
            for each in content["annotations"]
            if str(each["image_id"]) == example.id
            and names[each["category_id"]] == example.category
        ]
        assert isinstance(example.source, Path)
        change(images[example.id], target, example.source)
    _write(folder, "train2017", content)


def _turn(picture: Path) -> None:
    with Image.open(picture) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        image.copy().save(picture, exif=exif)


def _as_png(picture: Path, mode: str) -> None:
    with Image.open(picture) as image:
        image.convert(mode).save(picture, format="PNG")


def check(told: bool, what: str) -> None:
    """Say that something holds, or end."""
    print(f"{'ok' if told else 'NOT OK'}: {what}", flush=True)
    if not told:
        raise SystemExit(1)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--scenes", type=int, default=60)
    options = parser.parse_args()
    rehearse(Rehearsal(options.folder.absolute(), options.scenes))


def rehearse(rehearsal: Rehearsal) -> None:
    """All ways to run it, which must give the same rows."""
    rehearsal.prepare()
    told = rehearsal.run("whole", f"--claims-report={rehearsal.folder / 'report'}")
    loads = rehearsal.loads("whole")
    check(len(loads) == len({*loads}) == len(MAKERS), f"{len(loads)} loads for three models")
    check(" error" not in told.splitlines()[-1], "every claim has a verdict")
    pages = {each.name for each in (rehearsal.folder / "report").iterdir()}
    check({f"{name}.images.md" for name in MAKERS} < pages, f"{len(pages)} pages")
    rows = rehearsal.rows("whole")
    rehearsal.kill("killed", rehearsal.count("whole") // 2)
    rehearsal.run("killed")
    check(rehearsal.rows("killed") == rows, f"killed and taken up again: the same {len(rows)} rows")
    for part in range(1, 5):
        rehearsal.run("shards", "--vlm-shard", f"{part}/4")
    check(rehearsal.rows("shards") == rows, "four shards: the same rows")
    rehearsal.run("ray", "--vlm-ray")
    check(rehearsal.rows("ray") == rows, "Ray: the same rows")


if __name__ == "__main__":
    main()

"""Planted models: real LLaVAs of four layers whose weights are set by hand, so that what they do is
known; and images.

An image shows a red square (the object, 3 x 3 visual tokens) on a grey plate of 5 x 5, on a blue
table. The category is called "Yes", so that in all three tasks the right answer is one token. The
vision tower copies each patch's redness and blueness, and gathers in the first visual token whether
anything is red ("found"). Every residual dimension has a name, a layer does nothing but what
`Attend` and `Write` say, and the answer is yes where "yes" and "scene" both reach the last
position: the scene is the table's blue, so that there is context to block, too.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import LlavaForConditionalGeneration

from claims.neo2025 import sample
from claims.neo2025.protocol import TEXT, Text
from claims.neo2025.study import Measured
from fixtures import filtered
from fixtures.emoji_llava.architecture import Sizes, build_tokenizer, llava, llava_processor
from vlmlib import VLM
from vlmlib.study import Bench, MeanOf, Store, loaded

GRID, PATCH = 12, 4
LAYERS, HEADS, HEAD_WIDTH = 4, 4, 4
IMAGES, EMPTY_IMAGES = 30, 6
NAMES = ["text", "visual", "red", "blue", "found", "bottom", "carried", "seen", "scene", "yes"]
NAMES += ["number", "ended", "poison"]
WIDTH = 16
# What the vision tower says of a patch: each number stands with its negative beside it, so that a
# layer norm, which takes the mean away, leaves it; the constant is so large that the norm divides
# all patches by nearly the same.
SEEN = ["red", "blue", "constant", "first", "bottom", "found"]
CONSTANT = 10.0


@dataclass(frozen=True)
class Attend:
    """In this layer, positions that have `query` attend to those that have `key`, and have `writes`
    from then on."""

    layer: int
    query: str
    key: str
    writes: str
    amount: float = 1.0


@dataclass(frozen=True)
class Write:
    """In this layer's feed-forward, positions that have `reads` get `writes`."""

    layer: int
    reads: str
    writes: str
    amount: float = 2.0


SCENE = Attend(0, "text", "blue", "scene")
READ = Attend(2, "text", "red", "yes")
# The object's tokens are read, and say its name, from layer 2 of 4 on, and all tokens after the
# object say a number.
LOCAL = (SCENE, READ, Write(2, "red", "yes"), Attend(2, "visual", "red", "number"))
# The same at the wrong end: the object's tokens are read in the first layer, and say its name in
# the first state only.
EARLY = (
    Attend(0, "text", "red", "yes", 1.6),
    Write(0, "red", "yes", -9.0),
    Attend(3, "text", "blue", "scene"),
)
# The answer comes from the first visual token, whose norm is large, and every visual token says the
# object's name.
ELSEWHERE = (SCENE, Attend(2, "text", "found", "yes", 0.8), Write(2, "visual", "yes"))
# Says yes whatever it sees.
BLIND = (SCENE, Write(2, "text", "yes"))
# The last visual row reads the object, and the last position reads the last row.
LAST_ROW = (SCENE, Attend(1, "bottom", "red", "carried"), Attend(2, "text", "carried", "yes", 1.4))
# The mean token itself takes the answer away, whichever token it replaces.
POISONED = (SCENE, READ, Attend(2, "text", "poison", "yes", -2.0))


def planted(*parts: Attend | Write, adapter: dict[str, str] | None = None) -> VLM:
    """A model that does what its parts say and nothing else.

    **Arguments:** `adapter`: what else tokens have at the adapter's output that have this: `{"red":
    "yes"}`.
    """
    tokenizer = build_tokenizer()
    processor = llava_processor(tokenizer, GRID * PATCH, PATCH, do_normalize=False)
    model = llava(
        processor,
        vision=Sizes(WIDTH, mlp=1, layers=2, heads=1),
        text=Sizes(WIDTH, mlp=1, layers=LAYERS, heads=HEADS),
        head_dim=HEAD_WIDTH,
        rope_parameters={"rope_type": "default", "rope_theta": 1e12},
    ).requires_grad_(False)
    for weight in model.parameters():
        weight.zero_()
    _wire_vision_tower(model)
    _wire_adapter(model.model.multi_modal_projector, adapter or {})
    decoder = model.model.language_model
    decoder.norm.weight.fill_(1.0)
    decoder.embed_tokens.weight[:, _at("text")] = 0.4
    ids = tokenizer.convert_tokens_to_ids(["▁No", "▁Yes", "2", "▁image", "</s>"])
    assert isinstance(ids, list)
    no, yes, two, image, end = ids
    decoder.embed_tokens.weight[[no, yes], _at("ended")] = 5.0
    says = [(yes, "yes", 1.0), (yes, "scene", 1.0), (no, "text", 1.3 / 0.4), (end, "ended", 1.0)]
    for token, name, amount in [*says, (two, "number", 1.5), (image, "visual", 1.0)]:
        model.lm_head.weight[token, _at(name)] = amount
    for layer in decoder.layers:
        layer.input_layernorm.weight.fill_(1.0)
        layer.post_attention_layernorm.weight.fill_(1.0)
    heads = [0] * LAYERS
    for layer in decoder.layers:
        _wire_trace(layer.self_attn, HEADS - 1)
    for part in parts:
        if isinstance(part, Attend):
            _wire_head(decoder.layers[part.layer].self_attn, heads[part.layer], part)
            heads[part.layer] += 1
        else:
            _wire_mlp(decoder.layers[part.layer].mlp, part)
    return VLM(model, processor)


def study_of(
    vlm: VLM,
    folder: Path,
    store: Store,
    limit: int | None = None,
    lens_limit: int | None = None,
    questions: Path | None = None,
    mean: Path | None = None,
    protocol: Text = TEXT,
    name: str = "planted",
    most: int = sample.MOST_IMAGES,
    pages: int = 0,
) -> Measured:
    """A study of a planted model on the images of a folder (see `write_data`)."""
    images = filtered.filter_1(folder, filtered.IDENTIFICATION, questions, limit)
    lens_images = filtered.filter_1(folder, filtered.LENS, limit=lens_limit)
    handle, made_from = loaded(vlm, name), MeanOf(mean, [each.path for each in images.others])
    bench = Bench(handle, store, made_from, images.data, protocol.name)
    return Measured(bench, images, lens_images, protocol, most=most, pages=pages)


def poisoned_mean() -> torch.Tensor:
    """A mean token that no image has: see `POISONED`."""
    mean = torch.zeros(WIDTH)
    mean[[_at("visual"), _at("poison")]] = torch.tensor([1.0, 8.0])
    return mean


def _at(name: str) -> int:
    return NAMES.index(name)


def _wire_head(attention, head: int, part: Attend) -> None:
    """The slow one of two rotating pairs of dimensions, which hardly turns, scores; the first
    dimension carries."""
    here = head * HEAD_WIDTH
    attention.q_proj.weight[here + 1, _at(part.query)] = 4.0
    attention.k_proj.weight[here + 1, _at(part.key)] = 4.0
    # what a token of two names has after the norm
    attention.v_proj.weight[here, _at(part.key)] = 1 / 2.83
    attention.o_proj.weight[_at(part.writes), here] = part.amount


def _wire_trace(attention, head: int) -> None:
    """A block that changes nothing is a dead one. So in every layer every position reads a trace of
    how many of those before it are visual, which nobody makes use of."""
    here = head * HEAD_WIDTH
    attention.v_proj.weight[here, _at("visual")] = 1.0
    attention.o_proj.weight[_at("seen"), here] = 0.01


def _wire_mlp(mlp, part: Write) -> None:
    mlp.gate_proj.weight[0, _at(part.reads)] = 10.0
    mlp.up_proj.weight[0, _at(part.reads)] = 1.0
    # 28 * 2.8, what a token of two names gives
    mlp.down_proj.weight[_at(part.writes), 0] = part.amount / 80


def _wire_vision_tower(model: LlavaForConditionalGeneration) -> None:
    tower = model.model.vision_tower
    embeddings, layer = tower.embeddings, tower.encoder.layers[0]
    plus, minus = ({name: 2 * index + odd for index, name in enumerate(SEEN)} for odd in (0, 1))
    colours = {"red": (1.0, -0.5, -0.5), "blue": (-0.5, -0.5, 1.0)}
    for sign, at in ((1.0, plus), (-1.0, minus)):
        for name, rgb in colours.items():
            embeddings.patch_embedding.weight[at[name]] = (
                sign * torch.tensor(rgb)[:, None, None] / PATCH**2
            )
        places = embeddings.position_embedding.weight  # the class token's place comes first
        places[:, at["constant"]] = sign * CONSTANT
        places[1, at["first"]] = sign
        places[-GRID:, at["bottom"]] = sign
    for norm in (tower.pre_layrnorm, layer.layer_norm1, layer.layer_norm2):
        norm.weight.fill_(CONSTANT * (2 / WIDTH) ** 0.5)
    attention = layer.self_attn
    attention.q_proj.weight[0, plus["first"]] = attention.k_proj.weight[0, plus["red"]] = 8.0
    attention.v_proj.weight[0, plus["red"]] = 1.0
    attention.out_proj.weight[plus["found"], 0] = 1.0
    attention.out_proj.weight[minus["found"], 0] = -1.0


def _wire_adapter(adapter, more: dict[str, str]) -> None:
    """Each number of a patch becomes a name that its visual token has or lacks."""
    steep = 20.0
    rows = [
        ("constant", "visual", CONSTANT - 1.0, 1.0),
        ("red", "red", 0.4, 0.4),
        ("blue", "blue", 0.4, 0.3),
    ]
    # found is three times as large
    rows += [("bottom", "bottom", 0.5, 0.5), ("found", "found", 0.4, 0.13)]
    for row, (seen, name, threshold, above) in enumerate(rows):
        adapter.linear_1.weight[row, 2 * SEEN.index(seen)] = steep
        adapter.linear_1.bias[row] = -steep * threshold
        for written in (name, more.get(name, name)):
            amount = 2.0 if written == "yes" else 1.0
            adapter.linear_2.weight[_at(written), row] = amount / (steep * above)


def write_data(folder: Path) -> Path:
    """The images in COCO's layout: `IMAGES` with an object and a question, then `EMPTY_IMAGES`
    without either."""
    for each in ("annotations", "table"):
        (folder / each).mkdir(parents=True)
    images, annotations, side = [], [], GRID * PATCH
    for index in range(IMAGES + EMPTY_IMAGES):
        file, shown = f"{index}.png", index < IMAGES
        top, left = (1, 8)[index % 2] * PATCH, (3 + index // 2 % 6) * PATCH
        drawn = Image.fromarray(scene(top, left, blue=180 + index, shown=shown))
        drawn.save(folder / "table" / file)
        images.append({"id": index, "file_name": file, "width": side, "height": side})
        if shown:
            annotations.append(_annotation(index, top, left))
    names = enumerate(("Yes", "dog", "cat"), start=1)
    categories = [{"id": at, "name": name} for at, name in names]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations" / "instances_table.json").write_text(json.dumps(content))
    bounds = {"area": "pixels", "above": 100, "below": 200, "annotations_below": 4}
    for name in ("filter.json", "lens_filter.json"):
        (folder / name).write_text(json.dumps(bounds))
    questions = {str(index): ["What is on the plate?"] for index in range(IMAGES)}
    (folder / "questions.json").write_text(json.dumps(questions))
    return folder


def _annotation(index: int, top: int, left: int) -> dict[str, Any]:
    bottom, right = top + 3 * PATCH, left + 3 * PATCH
    return {
        "id": index,
        "image_id": index,
        "category_id": 1,
        "segmentation": [[left, top, right, top, right, bottom, left, bottom]],
        "iscrowd": 0,
        "area": (3 * PATCH) ** 2,
    }


def scene(top: int, left: int, blue: int, shown: bool = True) -> np.ndarray:
    """A blue table with a grey plate and, if shown, the red object on it, whose corner is given in
    pixels."""
    pixels = np.full((GRID * PATCH, GRID * PATCH, 3), (20, 30, blue), np.uint8)
    pixels[top - PATCH : top + 4 * PATCH, left - PATCH : left + 4 * PATCH] = 128
    if shown:
        pixels[top : top + 3 * PATCH, left : left + 3 * PATCH] = (230, 20, 20)
    return pixels

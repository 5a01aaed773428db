"""Designs: are the arms of tables 1 and 2 the paper's conditions, and does each draw for itself?

Oracles: distances on the grid, edges listed one by one, the names that the paper's tables print.
Fails if a row ablates or blocks other tokens than its name says, if a random row has another size
than its region, if one arm's draw hangs on another arm, on their order or on nothing at all, or if
another module puts the name of an arm together.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from claims.neo2025 import arms as designs
from claims.neo2025.arms import (
    COUNTS,
    REGIONS,
    TO_LAST,
    TO_ROW,
    TO_TEXT,
    ablations,
    knockouts,
    knockouts_again,
    sliding,
)
from claims.neo2025.authors import AUTHORS
from claims.neo2025.protocol import Text
from claims.neo2025.published import Published
from claims.neo2025.sensitivity import PROTOCOLS
from tests.tiny import picture, tiny_processor, tiny_qwen, tiny_vlm
from vlmlib import VLM, Ablate, Block, Stimulus, VLMError, mean_embedding
from vlmlib.interventions import touched
from vlmlib.study import Example, Object, Scene
from vlmlib.study.scene import made
from vlmlib.windows import named

FAMILIES = {"llava": tiny_vlm, "qwen": tiny_qwen}
START = 3  # text tokens before the image
PROCESSOR = tiny_processor().image_processor


class Given(Text):
    """The text's protocol, which finds the target's tokens where a test has put them."""

    def scene(self, scene: Scene) -> Scene:
        return scene


GIVEN = Given()


def scene_of(
    rows: int,
    cols: int,
    places=(),
    depth: int = 4,
    seed=(0, 7),
    attributions=True,
    more: int = 0,
    registers: int = 1,
) -> Scene:
    """An image of rows x cols visual tokens whose object is at some places of the grid; scores grow
    along the image, of which there may be some more. Of an odd number of rows the first tokens are
    registers."""
    visual = torch.arange(START, START + rows * cols)
    length = START + len(visual) + 3
    embeddings = torch.randn(length, 2, generator=torch.Generator().manual_seed(rows))
    embeddings /= embeddings.norm(dim=-1, keepdim=True)
    # register tokens, or some that lie as far below
    embeddings[visual[:registers]] *= 50 if rows % 2 else 0
    positions = torch.arange(length)[None]
    grid = (rows, cols)
    stimulus = Stimulus("", {}, embeddings, positions, visual, [grid], grid, PROCESSOR)
    mask = np.zeros(rows * cols, bool)
    mask[[place % len(visual) for place in places]] = True
    target = Object("dog", mask.reshape(grid), grid)
    scores = [float(each) for each in range(len(visual) + more)]
    known = {"attributions": scores} if attributions else {}
    example = Example("7", picture(), [target], "dog", known=known)
    vlm = VLM.__new__(VLM)  # of which a scene asks the depth alone
    vlm.decoder = SimpleNamespace(layers=range(depth))  # pyright: ignore[reportAttributeAccessIssue]
    return Scene(vlm, stimulus, example, visual[mask], torch.zeros(2), seed)


scenes = st.builds(
    scene_of,
    rows=st.integers(1, 6),
    cols=st.integers(1, 6),
    places=st.lists(st.integers(0, 35), max_size=5),
    depth=st.integers(1, 12),
    seed=st.tuples(st.just(0), st.integers(0, 2**31)),
)


def near(scene: Scene, reach: int) -> set[int]:
    """Positions at most so many rows and columns from the object, by distance."""
    cols = scene.stimulus.grid[1]
    at = [divmod(int(token) - START, cols) for token in scene.object]
    return {
        token
        for token in scene.stimulus.visual.tolist()
        if any(
            max(abs((token - START) // cols - r), abs((token - START) % cols - c)) <= reach
            for r, c in at
        )
    }


def regions_of(scene: Scene) -> dict[str, set[int]]:
    return {name: near(scene, reach) for reach, name in enumerate(REGIONS)}


def ablated(scene: Scene, protocol: Text = GIVEN) -> dict[str, set[int]]:
    """What each arm of table 1 that the image has ablates, every one of them a single ablation at
    the embeddings, by the mean."""
    found = {}
    arms, _ = made(ablations(scene, protocol))
    for name, arm in arms.items():
        [only] = arm
        assert isinstance(only, Ablate)
        assert only.layer == 0
        assert only.value is scene.mean
        found[name] = set(only.tokens)
    return found


def edges_of(arm) -> set[tuple[int, int]]:
    """(source, target) of every blocked edge; each block stands in all heads and in the same
    layers."""
    assert all(isinstance(each, Block) and each.heads is None for each in arm)
    assert len({each.layers for each in arm}) <= 1
    return {(source, target) for each in arm for source in each.source for target in each.targets}


def blocked(scene: Scene, window: str = "all") -> dict[str, set[tuple[int, int]]]:
    suffix = f", {window}"
    return {
        name.removesuffix(suffix): edges_of(arm)
        for name, arm in knockouts(scene, GIVEN).items()
        if name.endswith(suffix)
    }


def test_the_arms_of_table_1_bear_its_rows_names_and_their_controls():
    names = set(ablated(scene_of(24, 24, range(300, 304))))
    fitted = {f"{kind} = {region}" for kind in ("gradient", "random") for region in REGIONS}
    elsewhere = {f"elsewhere {region}" for region in REGIONS}
    printed = {arm for _, arm in Published("llava-1.5-7b").ablations.cells}
    assert names == printed | fitted | elsewhere | {"random = register"}
    with_register = set(ablated(scene_of(25, 24, range(300, 304))))
    assert with_register == names | {"object = register"}


def test_the_arms_of_table_2_bear_its_cells_names_and_figure_8s():
    scene = scene_of(24, 24, [300], depth=32)
    printed = {arm for _, arm in Published("llava-1.5-7b").knockouts.cells}
    rows = [*TO_LAST, *TO_ROW, *(f"random = {row}" for row in TO_LAST)]
    windows = ["early", "early-mid", "mid", "mid-late", "late", "all", *sliding(32)]
    names = set(knockouts(scene, GIVEN))
    assert printed < names
    assert names == {
        *(f"{row}, {window}" for row in rows for window in windows),
        *(f"{row}, {window}" for row in TO_TEXT for window in designs.WINDOWS),
    }


@settings(deadline=None, max_examples=60)
@given(scene=scenes)
def test_regions_lie_near_the_object_and_registers_outlie(scene):
    """Each region is the object with what lies near, and registers are the outlying norms."""
    found = ablated(scene)
    assert {name: found[name] for name in REGIONS} == regions_of(scene)
    assert found["object"] == set(scene.object.tolist())
    visual = scene.stimulus.visual.tolist()
    if len(visual) != 5:  # of which one alone lies at two deviations, but for rounding
        has_one = scene.stimulus.grid[0] % 2 and len(visual) > 5
        assert found["register"] == set(visual[:1] if has_one else [])


@settings(deadline=None, max_examples=60)
@given(scene=scenes)
def test_gradient_and_random_tokens_are_as_many_as_their_name_says(scene):
    """Counts that the image does not have are left out."""
    found, visual = ablated(scene), scene.stimulus.visual.tolist()
    sizes = {str(k): k for k in COUNTS if k <= len(visual)}
    sizes |= {f"= {name}": len(region) for name, region in regions_of(scene).items()}
    for name, size in sizes.items():
        # the scores grow along the image
        assert found[f"gradient {name}"] == set(visual[len(visual) - size :])
        assert len(found[f"random {name}"]) == size
        assert found[f"random {name}"] <= set(visual)
    drawn = {f"{kind} {name}" for kind in ("gradient", "random") for name in sizes}
    named = {name for name in found if name.startswith(("gradient", "random"))}
    assert named == drawn | {"random = register"}


@pytest.mark.parametrize("registers", [1, 3, 4])
def test_as_many_tokens_as_registers_are_drawn_beside_them(registers):
    """Of the object's, and of all."""
    found = ablated(scene_of(7, 6, [20, 21, 22, 23], registers=registers))
    assert found["register"] == set(range(START, START + registers))
    assert len(found["random = register"]) == len(found["object = register"]) == registers
    assert found["object = register"] <= found["object"]


@pytest.mark.parametrize(("registers", "size"), [(3, 2), (1, 0), (2, 1)])
def test_no_fewer_of_the_objects_tokens_stand_for_registers(registers, size):
    found = ablated(scene_of(7, 6, range(20, 20 + size), registers=registers))
    assert "object = register" not in found
    assert len(found["random = register"]) == registers


def test_where_there_is_no_register_nothing_stands_for_it():
    found = ablated(scene_of(6, 6, [20, 21]))
    assert found["register"] == found["random = register"] == set()
    assert "object = register" not in found


def test_which_of_the_objects_tokens_stand_for_registers_is_drawn():
    """Of its nine any three, and others on other images."""
    scenes = [scene_of(7, 6, range(20, 29), seed=(0, at), registers=3) for at in range(40)]
    drawn = [frozenset(ablated(each)["object = register"]) for each in scenes]
    assert len(set(drawn)) > 20
    assert frozenset.union(*drawn) == set(range(START + 20, START + 29))


@settings(deadline=None, max_examples=60)
@given(scene=scenes)
def test_a_shape_elsewhere_is_the_region_moved(scene):
    """It is absent where the image has no other place for it."""
    found, (rows, cols) = ablated(scene), scene.stimulus.grid
    for name, region in regions_of(scene).items():
        at = {divmod(token - START, cols) for token in region}
        shifts = [(down, across) for down in range(-rows, rows) for across in range(-cols, cols)]
        places = [{(row + down, col + across) for row, col in at} for down, across in shifts]
        free = [
            {START + row * cols + col for row, col in place}
            for place in places
            if at
            and not place & at
            and all(0 <= row < rows and 0 <= col < cols for row, col in place)
        ]
        if free:
            assert found[f"elsewhere {name}"] in free
        else:
            assert f"elsewhere {name}" not in found


@pytest.mark.parametrize("design", [ablations, knockouts])
@settings(deadline=None, max_examples=30)
@given(scene=scenes)
def test_an_image_has_the_same_arms_each_time(design, scene):
    first, again = (
        {name: [repr(each) for each in arm] for name, arm in made(design(given, GIVEN))[0].items()}
        for given in (scene, replace(scene))
    )
    assert first == again


def test_other_images_and_other_seeds_draw_other_tokens():
    drawn = [ablated(scene_of(6, 6, [20], seed=seed)) for seed in ((0, 7), (0, 8), (1, 7))]
    for name in ("random 10", "random 20", "random = +1 buffer"):
        assert len({tuple(sorted(each[name])) for each in drawn}) == 3
    elsewhere = {
        tuple(ablated(scene_of(6, 6, [20], seed=(0, n)))["elsewhere object"]) for n in range(20)
    }
    assert len(elsewhere) > 5
    one, other = (blocked(scene_of(6, 6, [20], seed=(0, n))) for n in (7, 8))
    for row in TO_LAST[1:]:
        assert one[f"random = {row}"] != other[f"random = {row}"]
    assert all(one[row] == other[row] for row in (*TO_LAST, *TO_ROW))


def test_arms_of_one_image_draw_apart_from_one_another():
    found = ablated(scene_of(6, 6, [20, 21, 22, 26, 27]))
    assert len(found["random 5"]) == len(found["random = object"]) == 5
    assert found["random 5"] != found["random = object"]
    assert not found["random 5"] <= found["random 10"]
    names = ("a", "b", "random 5")
    drawn = {tuple(scene_of(6, 6).generator(name).integers(99, size=9)) for name in names}
    assert len(drawn) == 3


@pytest.mark.parametrize("counts", [(10,), (20, 10, 7), (36, 250, 5)])
def test_an_arm_draws_the_same_whatever_other_arms_there_are(counts, monkeypatch):
    """In whatever order they come."""
    scene = scene_of(6, 6, [20])
    before = ablated(scene)
    monkeypatch.setattr(designs, "COUNTS", counts)
    after = ablated(scene)
    assert set(before) ^ set(after)
    for name in set(before) & set(after):
        assert after[name] == before[name], name


def test_an_arm_draws_the_same_whatever_is_drawn_before_it(monkeypatch):
    scene = scene_of(6, 6, [20])
    before = {name: edges_of(arm) for name, arm in knockouts(scene, GIVEN).items()}
    monkeypatch.setattr(designs, "TO_LAST", ("renamed", *TO_LAST[1:]))
    after = {name: edges_of(arm) for name, arm in knockouts(scene, GIVEN).items()}
    kept = set(before) & set(after)
    assert any(name.startswith("random = O+2") for name in kept)
    assert {name: before[name] for name in kept} == {name: after[name] for name in kept}


def test_a_draw_does_not_hang_on_the_process_that_makes_it():
    drawn_in_another = [3, 8, 12, 16, 30]  # hashes of text would differ from process to process
    assert scene_of(6, 6).random("random 5", 5).tolist() == drawn_in_another


@settings(deadline=None, max_examples=60)
@given(scene=scenes)
def test_knockouts_into_the_last_token_block_each_rows_sources(scene):
    found, last, visual = blocked(scene), scene.stimulus.last, set(scene.stimulus.visual.tolist())
    assert last == max(visual) + 3
    sources = {
        "O -> LTP": near(scene, 0),
        "O+1 -> LTP": near(scene, 1),
        "O+2 -> LTP": near(scene, 2),
    }
    sources["I-(O+1) -> LTP"] = visual - near(scene, 1)
    for row, source in sources.items():
        assert found[row] == {(token, last) for token in source}
        drawn = found[f"random = {row}"]
        assert {target for _, target in drawn} <= {last}
        assert {token for token, _ in drawn} <= visual
        assert len(drawn) == len(source)


@settings(deadline=None, max_examples=60)
@given(scene=scenes)
def test_knockouts_into_the_last_visual_row_block_causal_edges(scene):
    """Those edges that a causal model has."""
    found, visual = blocked(scene), scene.stimulus.visual.tolist()
    row = visual[-scene.stimulus.grid[1] :]
    assert found["O+1 -> LVR"] == {(s, t) for s in near(scene, 1) for t in row if s <= t}
    assert found["I-LVR -> LVR"] == {(s, t) for s in visual if s not in row for t in row}


@settings(deadline=None, max_examples=60)
@given(scene=scenes)
def test_knockouts_into_the_text_block_what_follows_the_image(scene):
    """Up to the last position, and with it."""
    found, last = blocked(scene), scene.stimulus.last
    after = {last - 2, last - 1}
    assert max(scene.stimulus.visual.tolist()) == last - 3
    around = near(scene, 1)
    assert found["O+1 -> text"] == {(source, to) for source in around for to in after}
    assert found["O+1 -> text and LTP"] == found["O+1 -> text"] | found["O+1 -> LTP"]


def test_what_blocks_the_text_stands_in_the_named_windows_alone():
    arms: dict[str, Any] = knockouts(scene_of(4, 4, [5], depth=32), GIVEN)
    for row in TO_TEXT:
        mine = {name: arm for name, arm in arms.items() if name.startswith(f"{row}, ")}
        layers = {designs.window_of(name): {*arm[0].layers} for name, arm in mine.items()}
        assert layers == {name: {*span} for name, span in named(32, GIVEN.windows).items()}


def test_the_knockouts_that_are_run_again_are_the_same():
    scene = scene_of(6, 6, [20])
    made: list[dict[str, Any]] = [knockouts(scene, GIVEN), knockouts_again(scene, GIVEN)]
    first, again = (
        {name: (edges_of(arm), [each.layers for each in arm]) for name, arm in arms.items()}
        for arms in made
    )
    assert first == again


@pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=PROTOCOLS)
@pytest.mark.parametrize("depth", [2, 8, 28, 32])
def test_knockouts_stand_in_the_protocols_windows_and_sliding_ones(protocol, depth):
    arms: dict[str, Any] = knockouts(scene_of(4, 4, [5], depth=depth), protocol)
    expected = named(depth, protocol.windows) | sliding(depth)
    for row in (*TO_LAST, *TO_ROW, "random = O -> LTP"):
        start = f"{row}, "
        mine = {name: arm for name, arm in arms.items() if name.startswith(start)}
        layers = {name.removeprefix(start): arm[0].layers for name, arm in mine.items()}
        assert layers == {name: tuple(window) for name, window in expected.items()}


def test_at_32_layers_one_based_alone_has_other_windows():
    ends = {}
    for name, protocol in PROTOCOLS.items():
        arms: list[Any] = list(knockouts(scene_of(4, 4, [5], depth=32), protocol).values())[:6]
        ends[name] = [(arm[0].layers[0], arm[0].layers[-1]) for arm in arms]
    assert ends.pop("one-based") == [(0, 9), (4, 13), (10, 19), (14, 23), (20, 30), (0, 31)]
    run = [(0, 9), (5, 14), (11, 20), (15, 24), (21, 31), (0, 31)]
    assert ends == dict.fromkeys(ends, run)
    assert {"text", "authors"} <= set(ends)


def test_a_window_and_its_layers_are_read_off_an_arms_name():
    for row in (*TO_LAST, *TO_ROW, "random = I-(O+1) -> LTP"):
        for window in (*designs.WINDOWS, *sliding(8)):
            assert designs.window_of(designs.knockout(row, window)) == window
    for depth in (1, 8, 32):
        for window, layers in sliding(depth).items():
            assert designs.layers_of(window) == layers
    for other in (*designs.WINDOWS, "", "L", "L1", "L1-", "L1-b", "1-10", "object", "register"):
        assert designs.layers_of(other) is None


def test_at_32_layers_there_are_23_sliding_windows_of_10():
    windows = sliding(32)
    assert len(windows) == 23
    assert {len(layers) for layers in windows.values()} == {10}
    assert windows["L1-10"] == range(10)
    assert windows["L23-32"] == range(22, 32)
    assert [f"L{layers[0] + 1}-{layers[-1] + 1}" for layers in windows.values()] == list(windows)


@given(depth=st.integers(1, 99))
def test_sliding_windows_are_as_wide_a_part_of_any_depth(depth):
    windows = list(sliding(depth).values())
    [width] = {len(layers) for layers in windows}
    assert abs(width - depth * 10 / 32) <= 0.5 or (depth, width) == (1, 1)
    assert [layers.start for layers in windows] == list(range(depth - width + 1))


def test_an_object_that_was_cropped_away_has_arms_that_change_nothing():
    scene = scene_of(4, 4)
    found = ablated(scene)
    for name in REGIONS:
        assert found[name] == found[f"gradient = {name}"] == found[f"random = {name}"] == set()
        assert f"elsewhere {name}" not in found
    everything = {(token, scene.stimulus.last) for token in scene.stimulus.visual.tolist()}
    edges = blocked(scene)
    assert (
        edges["O -> LTP"]
        == edges["O+2 -> LTP"]
        == edges["O+1 -> LVR"]
        == edges["random = O -> LTP"]
        == set()
    )
    assert edges["I-(O+1) -> LTP"] == everything


def test_an_arm_touches_each_ablated_token_and_each_source_once():
    value = torch.zeros(2)
    first, second = Ablate([4, 5], value), Ablate([5, 6], value, layer=1)
    assert len(touched([])) == 0
    assert len(touched([Ablate([4, 5, 6], value)])) == 3
    assert len(touched([Block([4, 5], to=9, layers=[0])])) == 2
    assert len(touched([Block([4], to=[8], layers=[0]), Block([4, 5], to=[9], layers=[0])])) == 2
    assert len(touched([first, second, Block([6, 7], to=9, layers=[0])])) == 4


def test_a_design_that_needs_gradients_says_so_where_there_are_none():
    scene = scene_of(4, 4, [5], attributions=False)
    with pytest.raises(VLMError, match=r"integrated gradients on image 7.*knowing\(attributions="):
        made(ablations(scene))
    assert knockouts(scene)


def test_gradient_tokens_of_the_authors_may_lie_one_past_the_image():
    arms = ablated(scene_of(4, 4, [5], more=1), AUTHORS)
    assert arms["gradient 5"] == set(range(START + 12, START + 17))


BY_THE_MEAN = {
    name: each for name, each in PROTOCOLS.items() if type(each).stand_in is Text.stand_in
}


@pytest.mark.parametrize("protocol", BY_THE_MEAN.values(), ids=BY_THE_MEAN)
def test_the_object_is_where_the_protocol_finds_it(protocol):
    """Whatever stands in the scene."""
    scene = scene_of(4, 4, [5, 6], more=int(protocol is AUTHORS))
    moved = replace(scene, object=scene.stimulus.visual[:1])
    assert ablated(moved, protocol)["object"] == {START + 5, START + 6}
    edges = edges_of(knockouts(moved, protocol)["O -> LTP, all"])
    assert {source for source, _ in edges} == {START + 5, START + 6}


@pytest.fixture(
    scope="module",
    params=[(family, name) for family in FAMILIES for name in PROTOCOLS],
    ids="-".join,
)
def measured(request) -> tuple[VLM, Scene, Text]:
    """A real stimulus of each family under each protocol, its object in the middle."""
    family, protocol = request.param
    vlm, image = FAMILIES[family](), picture(3, (24, 24))
    stimulus = vlm.read(image, "Is there a dog in this image?")
    mean = mean_embedding(vlm, [picture(1)])
    mask = np.zeros((24, 24), bool)
    mask[9:13, 9:13] = True
    count = len(stimulus.visual) + (protocol == "authors")
    scores = np.random.default_rng(0).normal(size=count).tolist()
    example = Example("7", image, [Object("dog", mask, (24, 24))], "dog")
    example = example.knowing(attributions=scores, other=Example("8", picture(4)))
    scene = Scene(vlm, stimulus, example, stimulus.tokens_of(mask), mean, (0, 7))
    return vlm, scene, PROTOCOLS[protocol]


@pytest.mark.slow
@pytest.mark.parametrize("cropped", [False, True], ids=["inside", "cropped"])
@pytest.mark.parametrize("design", [ablations, knockouts])
def test_every_arm_runs_and_changes_what_is_predicted(measured, design, cropped):
    """Those that touch nothing change nothing; edges into the image or the text before the last
    position need not reach the answer."""
    vlm, scene, protocol = measured
    if cropped:
        nothing = Object("dog", np.zeros((24, 24), bool), (24, 24))
        scene = replace(scene, example=replace(scene.example, objects=[nothing]))
    arms, _ = made(design(scene, protocol))
    clean, *logits = vlm.next_token(scene.stimulus, [[], *arms.values()])
    assert torch.isfinite(torch.stack(logits)).all()
    for (name, arm), found in zip(arms.items(), logits, strict=True):
        if not touched(arm):
            assert torch.equal(found, clean), name
        elif not name.startswith((*TO_ROW, f"{TO_TEXT[0]},")):
            assert not torch.allclose(found, clean, rtol=1e-6, atol=1e-6), name


PAPER = Path(designs.__file__).parent
# What an arm's name begins or ends with, where it is put together: a count, "= " and a region or a
# row, a row and a window. Placeholders of f-strings stand as the code in their braces.
PUT_TOGETHER = re.compile(
    r"(gradient|random|elsewhere) .*"
    r"|object [={].*"
    r"|(\S+ -> (LTP|LVR)|\{[^{}]*\brow\b[^{}]*\}), .*"
    rf"|[^,]*, (\{{[^{{}}]*\bwindow\b[^{{}}]*\}}|{'|'.join(designs.WINDOWS)})"
)


def names_put_together(code: str) -> list[str]:
    """Every string of a module that is an arm's name put together; docstrings are none."""
    tree = ast.parse(code)
    inner = {id(part) for node in ast.walk(tree) for part in parts_of(node)}
    texts = [text_of(node) for node in ast.walk(tree) if id(node) not in inner]
    return [text for text in texts if text and PUT_TOGETHER.fullmatch(text)]


def parts_of(node: ast.AST) -> Iterator[ast.AST]:
    """What counts as a part of another string, or for nothing: a docstring."""
    if isinstance(node, ast.JoinedStr):
        yield from node.values
    elif isinstance(node, ast.Expr):
        yield node.value


def text_of(node: ast.AST) -> str | None:
    """A string as it stands in the code, placeholders as {code}."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr():
            return "".join(text_of(part) or "" for part in node.values)
        case ast.FormattedValue():
            return f"{{{ast.unparse(node.value)}}}"
    return None


def test_no_other_module_puts_an_arms_name_together():
    offenders = {
        file.name: found
        for file in sorted(PAPER.glob("*.py"))
        if file.name != "arms.py"
        if (found := names_put_together(file.read_text()))
    }
    assert offenders == {}


def test_arms_itself_is_where_they_are_put_together():
    assert len(names_put_together((PAPER / "arms.py").read_text())) == 5


@pytest.mark.parametrize(
    "code",
    [
        'f"gradient {count}"',
        'f"random = {region}"',
        '"random = O -> LTP"',
        '"elsewhere " + region',
        'f"object {count}"',
        '"object = register"',
        '"random %d" % count',
        '"gradient {}".format(count)',
        'table.lost("VQA", "O+1 -> LTP, all")',
        'f"O+1 -> LTP, {each}"',
        'f"{row}, {window}"',
        'f"{self.row}, {self.column}"',
        'f"{each}, mid-late"',
    ],
)
def test_a_name_that_is_put_together_elsewhere_is_found(code):
    assert len(names_put_together(f"def one(table, self, row):\n    return {code}\n")) == 1


@pytest.mark.parametrize(
    "code",
    [
        '"""random tokens, as many as a region has"""',
        'knockout("O+1 -> LTP", "all")',
        'f"{where}, {key!r}"',
        'f"{task}, {arm}"',
        '{"random": 3}',
        'f"no cell, such as {row}, {window}, of table 2"',
        'f"{file}, row {row!r}, {window}"',
    ],
)
def test_what_is_no_name_of_an_arm_is_left_alone(code):
    assert names_put_together(f"def one(task, arm, row):\n    {code}\n") == []

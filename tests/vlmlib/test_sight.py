"""What is tried with pictures: places, placeholders that show nothing, and what is seen past the
visual tokens.

Fails if a wrong layout is believed or a right one refused, if a token that no picture moves counts
as visual, or if a model that sees past its visual tokens is ablated.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.families import building, common
from tests.tiny import picture, tiny_processor, tiny_qwen, tiny_vlm
from vlmlib import (
    VLM,
    Ablate,
    Block,
    ImageError,
    Stimulus,
    VLMError,
    integrated_gradients,
    mean_embedding,
    select,
    sight,
)
from vlmlib.architecture import grids_of
from vlmlib.errors import LackingError
from vlmlib.sight import SHAPES, _share_elsewhere, misplaced, moving, seen_past


@contextmanager
def projecting(model, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """While the context lasts, a LLaVA's visual tokens are changed."""
    projector = model.model.multi_modal_projector
    handle = projector.register_forward_hook(lambda _module, _args, output: change(output))
    try:
        yield
    finally:
        handle.remove()


@pytest.mark.slow
@pytest.mark.parametrize("make", [tiny_vlm, tiny_qwen])
def test_what_is_right_is_believed(make):
    vlm = make()
    assert [*(misplaced(vlm, size) for size in SHAPES), seen_past(vlm)] == ["", "", ""]
    assert all(bool(moving(vlm, size).all()) for size in SHAPES)
    assert (vlm.seen_past, vlm.injects, vlm.has_still) == ("", [], False)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda tokens: tokens.flip(-2),
        lambda tokens: tokens.roll(2, -2),
        lambda tokens: tokens.unflatten(-2, (4, 4)).transpose(-2, -3).flatten(-3, -2),
        lambda tokens: tokens.mean(-2, keepdim=True) * torch.linspace(1, 2, 16)[:, None],
    ],
    ids=["turned", "shifted", "rows for columns", "all of them everywhere"],
)
def test_visual_tokens_that_are_elsewhere_have_no_places(change):
    """All that needs none works."""
    model, processor = tiny_vlm().model, tiny_processor()
    with projecting(model, change):
        vlm = VLM(model, processor)
        stimulus = vlm.read(picture(), "Is there a dog?")
        mask = np.ones(stimulus.image_size, bool)
        for ask in (
            lambda: stimulus.grid,
            lambda: stimulus.views,
            lambda: stimulus.tokens_of(mask),
            lambda: select.last_row(stimulus),
            lambda: select.buffer(stimulus, stimulus.visual[:1], 1),
        ):
            with pytest.raises(VLMError, match="other visual tokens move than those that are"):
                ask()
        few = select.random(stimulus, 5, np.random.default_rng(0))
        assert len(select.complement(stimulus, few)) == 11
        ablate = [Ablate(few, torch.zeros(16))]
        assert vlm.next_token(stimulus, [[], ablate]).shape[0] == 2


TILES = torch.tensor([3, 2, 1, 0, 4])  # of two by two and the whole picture, the other way round


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        lambda tokens: tokens[TILES],
        lambda tokens: tokens[torch.tensor([1, 0, 2, 3, 4])],
        lambda tokens: tokens.unflatten(-2, (2, 2)).transpose(-2, -3).flatten(-3, -2),
        lambda tokens: tokens.flip(-2),
        lambda tokens: torch.cat([tokens[:1].roll(1, -2), tokens[1:]]),
    ],
    ids=["tiles turned", "two of them", "rows for columns", "within tiles", "of one tile"],
)
def test_tiles_of_four_tokens_have_places_where_they_are_right(change):
    """A view's own extent is what counts: all of these are within a quarter of the picture."""
    size = (40, 40)
    vlm = VLM(*common.aya_vision())
    assert [*map(len, vlm.read(picture(0, size), "Hi?").grids)] == [2] * 5
    assert [misplaced(vlm, each) for each in (size, (37, 29), (48, 48))] == [""] * 3
    with projecting(vlm.model, lambda tokens: change(tokens.flatten(1, -2)).view(tokens.shape)):
        assert "(in " in misplaced(vlm, size)


@pytest.mark.slow
def test_tokens_of_a_pixel_are_tried_on_a_larger_picture(monkeypatch):
    monkeypatch.setattr(common, "TILE", 96)
    monkeypatch.setattr(building, "TILE", 96)
    vlm = VLM(*common.llava())
    assert vlm.read(picture(0, (32, 32)), "Hi?").grid == (24, 24)
    assert misplaced(vlm, (32, 32)) == ""
    with projecting(vlm.model, lambda tokens: tokens.roll(1, -2)):
        assert "in 100% of the parts" in misplaced(vlm, (32, 32))


@pytest.mark.slow
@pytest.mark.parametrize("size", [(8, 8), (16, 3)])
def test_a_picture_that_keeps_its_layout_up_to_a_size_is_tried_at_that(size):
    """Four times as wide it is cut into other tiles, and as it is its tokens are of two pixels."""
    vlm = VLM(*common.llava_next())
    assert vlm.read(picture(0, size), "Hi?").unplaced == ""


def test_where_no_token_shows_a_part_there_are_no_places(monkeypatch):
    vlm = tiny_vlm()
    monkeypatch.setattr(sight, "_stray", lambda *_, **__: [float("nan")])
    assert "no visual token is taken to show a part" in misplaced(vlm, (60, 40))


@pytest.mark.parametrize("error", [ImageError, LackingError])
def test_a_picture_that_cannot_be_tried_settles_nothing_for_others(monkeypatch, error):
    vlm = tiny_vlm()
    monkeypatch.setattr(vlm, "_layouts", {})

    tried: list[object] = []

    def fail(_vlm: VLM, size: object, **_: object) -> None:
        tried.append(size)
        raise error("too small to tell")

    with monkeypatch.context() as failing:
        failing.setattr(sight, "_stray", fail)
        for _ in range(2):
            with pytest.raises(LackingError, match="too small to tell"):
                _ = vlm.read(picture(0, (9, 7)), "Hi?").grid
    assert tried == [(9, 7)]
    assert vlm.read(picture(0, (40, 40)), "Hi?").grid == (4, 4)


@pytest.mark.slow
def test_tokens_of_few_pixels_that_cannot_be_enlarged_settle_nothing():
    vlm = VLM(*common.llava_next())
    vlm._layouts = {}
    with pytest.raises(LackingError, match=r"11 x 13 pixels .* so few of them"):
        _ = vlm.read(picture(0, (11, 13)), "Hi?").views
    assert not any(vlm._layouts.values())


def test_tokens_that_always_move_far_hide_none():
    """Of trained encoders some do, and how far varies more than all that others move."""
    rng = np.random.default_rng(0)
    moved = rng.uniform(0.01, 0.02, (4, 30))
    moved[:, 29] = [50.0, 150.0, 80.0, 100.0]
    own = np.array([3, 8, 11, 20])
    moved[range(4), own] = 1.0
    assert _share_elsewhere(moved, own) == 0
    assert _share_elsewhere(moved, own + 1) == 1
    moved[1] = 0.0
    assert _share_elsewhere(moved, own) == 0.25
    assert np.isnan(_share_elsewhere(np.empty((0, 30)), np.empty(0, int)))


def test_placeholders_that_no_picture_moves_are_no_visual_tokens():
    model, processor = tiny_vlm().model, tiny_processor()

    def ended(tokens: Tensor) -> Tensor:
        """The last of each row of four shows nothing."""
        tokens = tokens.clone()
        tokens[..., 3::4, :] = 1.0
        return tokens

    with projecting(model, ended):
        vlm = VLM(model, processor)
        stimulus = vlm.read(picture(), "Is there a dog?")
        assert vlm.has_still
        shown = [at for at in range(16) if at % 4 != 3]
        assert (stimulus.visual - stimulus.visual[0]).tolist() == shown
        with pytest.raises(VLMError, match="12 visual tokens are no grids of square cells"):
            assert stimulus.views


def test_tokens_that_two_pictures_share_by_chance_are_visual():
    model, processor = tiny_vlm().model, tiny_processor()

    def coded(tokens: Tensor) -> Tensor:
        """Each is one of two, and the last of each row shows nothing."""
        tokens = (tokens[..., :1] > tokens[..., :1].median()).float().expand_as(tokens).clone()
        tokens[..., 3::4, :] = 0.5
        return tokens

    with projecting(model, coded):
        stimulus = VLM(model, processor).read(picture(), "Is there a dog?")
        shown = [at for at in range(16) if at % 4 != 3]
        assert (stimulus.visual - stimulus.visual[0]).tolist() == shown


def test_a_model_that_sees_past_its_visual_tokens_is_not_ablated():
    """What the picture adds to the last position, no visual token takes away."""
    model, processor = tiny_vlm().model, tiny_processor()
    seen: list[Tensor] = []

    def look(tokens: Tensor) -> Tensor:
        seen[:] = [tokens.reshape(-1, 16).mean(0)]
        return tokens

    with projecting(model, look):
        handle = model.model.language_model.layers[1].register_forward_pre_hook(
            lambda _module, args: (args[0] + 0.3 * seen[0], *args[1:])
        )
        with pytest.warns(UserWarning, match="arms cannot share work"):
            vlm = VLM(model, processor)
        handle.remove()
    stimulus = vlm.read(picture(), "Is there a dog?")
    with pytest.raises(VLMError, match="sees the picture past its visual tokens"):
        vlm.next_token(stimulus, [[], [Ablate(stimulus.visual[:2], torch.zeros(16))]])
    words = [Ablate([1], torch.zeros(16))]
    blocks = [Block(stimulus.visual, to=stimulus.last, layers=[0])]
    assert bool(vlm.next_token(stimulus, [[], words, blocks]).isfinite().all())


@dataclass
class Adding:
    """A LLaVA that adds positions before layer 0, and the features of the picture once more before
    layer 1."""

    vlm: VLM
    features: list[Tensor]  # which are added next

    @property
    def stimuli(self) -> list[Stimulus]:
        return [self.vlm.read(picture(seed), "Is there a dog?") for seed in (0, 1)]

    @property
    def visual(self) -> Tensor:
        return self.stimuli[0].visual


@pytest.fixture
def adding() -> Iterator[Adding]:
    plain, features = tiny_vlm(), list[Tensor]()
    visual = plain.read(picture(), "Is there a dog?").visual
    layers = plain.model.model.language_model.layers
    places = torch.randn(1, 100, 16, generator=torch.Generator().manual_seed(0))

    def look(tokens: Tensor) -> Tensor:
        features[:] = [tokens.reshape(-1, 16)]
        return tokens

    def add_places(_module, args):
        return (args[0] + places[:, : args[0].shape[1]], *args[1:])

    def add_features(_module, args):
        hidden = args[0].clone()
        if hidden.shape[1] > int(visual[-1]):
            hidden[:, visual] += features[0]
        return (hidden, *args[1:])

    layers[0].register_forward_pre_hook(add_places)
    with projecting(plain.model, look):
        with pytest.warns(UserWarning, match="arms cannot share work"):
            assert VLM(plain.model, tiny_processor()).injects == []
        layers[1].register_forward_pre_hook(add_features)
        with pytest.warns(UserWarning, match="arms cannot share work"):
            yield Adding(VLM(plain.model, tiny_processor()), features)


def test_what_a_picture_adds_later_goes_with_its_tokens(adding):
    """And positions that a stack adds to whatever it is given are nothing of the picture."""
    vlm = adding.vlm
    assert (vlm.injects, vlm.seen_past, vlm.width) == ([1], "", 32)
    arm = [Ablate(adding.visual, torch.zeros(16))]
    one, other = (vlm.next_token(each, [[], arm]) for each in adding.stimuli)
    torch.testing.assert_close(one[1], other[1])
    assert not torch.allclose(one[0], other[0], rtol=1e-2)
    with pytest.raises(LackingError, match="adds features of the image"):
        integrated_gradients(vlm, adding.stimuli[0], 0, torch.zeros(16))


def test_what_a_picture_adds_later_has_a_mean_of_its_own(adding):
    """Against a model that is given the mean at both places; and put back, nothing changes."""
    vlm, visual, stimuli = adding.vlm, adding.visual, adding.stimuli
    given = [torch.cat([each.embeddings[visual], each.injected[1][visual]], -1) for each in stimuli]
    mean = mean_embedding(vlm, [picture(0), picture(1)])
    torch.testing.assert_close(mean, torch.cat(given).mean(0), rtol=1e-4, atol=1e-5)
    arms = [[], [Ablate(visual, given[0])], [Ablate(visual, mean)]]
    clean, put_back, ablated = vlm.next_token(stimuli[0], arms)

    def plant(tokens: Tensor) -> Tensor:
        adding.features[:] = [mean[16:].expand(16, 16)]
        return mean[:16].expand_as(tokens)

    with projecting(vlm.model, plant), torch.no_grad():
        expected = vlm.model(**stimuli[0].inputs).logits[0, -1]  # pyright: ignore
    torch.testing.assert_close(put_back, clean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(ablated, expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(ablated, clean, rtol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize(("wide", "layer"), [(48, 0), (32, 1), (15, 0)])
def test_a_value_is_as_wide_as_what_it_replaces(adding, wide, layer):
    with pytest.raises(VLMError, match=f"given a value of width {wide}"):
        adding.vlm.next_token(
            adding.stimuli[0], [[Ablate(adding.visual, torch.zeros(wide), layer)]]
        )


def test_pictures_that_are_all_erased_are_told():
    model, processor = tiny_vlm().model, tiny_processor()
    same = pytest.raises(VLMError, match="all pictures give the same visual tokens")
    with projecting(model, torch.ones_like), same:
        VLM(model, processor)


def test_a_layout_is_tried_when_a_picture_first_has_it(monkeypatch):
    """Wrapping may have seen none of its kind."""
    vlm = tiny_vlm()
    assert vlm.read(picture(), "Hi?").grid == (4, 4)
    with projecting(vlm.model, lambda tokens: tokens.flip(-2)):
        assert vlm.read(picture(), "Hi?").grid == (4, 4)  # of its kind one was right
        monkeypatch.setattr(vlm, "_layouts", {})
        with pytest.raises(VLMError, match="other visual tokens move"):
            _ = vlm.read(picture(), "Hi?").grid


def test_patches_may_be_counted_by_rows_and_columns_alone():
    """Four of them make a token; eight tokens of seven rows are no grid, nor of one row."""
    visual = torch.arange(8)
    assert grids_of({"image_grid_hw": torch.tensor([[4, 8]])}, visual, None) == [(2, 4)]
    for sides in ([7, 4], [1, 32]):
        with pytest.raises(LackingError, match="8 visual tokens are no grids"):
            grids_of({"image_grid_hw": torch.tensor([sides])}, visual, None)

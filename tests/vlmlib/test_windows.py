"""Windows of layers: are they the paper's, at every depth, and does each become one arm?

Fails if a bound is read 1-based for 0-based, rounded to even or down, if the windows that were run
and table 2's headings read 1-based are mixed up, or if an arm blocks other layers than its window.
"""

import math
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from claims.neo2025.windows import ONE_BASED, RUN
from tests.tiny import picture, tiny_vlm
from vlmlib import Block, VLMError
from vlmlib.windows import centred, knockouts, named, scaled, sliding

EXACT = {
    32: [(0, 10), (5, 15), (11, 21), (15, 25), (21, 32), (0, 32)],
    28: [(0, 9), (4, 13), (10, 18), (13, 22), (18, 28), (0, 28)],
    16: [(0, 5), (3, 8), (6, 11), (8, 13), (11, 16), (0, 16)],
    8: [(0, 3), (1, 4), (3, 5), (4, 6), (5, 8), (0, 8)],
    1: [(0, 1)] * 6,
}


@pytest.mark.parametrize("layers", EXACT)
def test_the_papers_windows_at_a_depth_are_these(layers):
    expected = dict(zip(RUN, [range(*bounds) for bounds in EXACT[layers]], strict=True))
    assert named(layers, RUN) == expected


HEADINGS = {"early-mid": "5-14", "mid": "11-20", "mid-late": "15-24", "late": "21-31"}


def test_at_32_layers_they_are_table_2s_headings_as_they_stand():
    """But for the first, L1-10, which counts from 1."""
    shown = {name: f"{window[0]}-{window[-1]}" for name, window in named(32, RUN).items()}
    assert shown == {"early": "0-9"} | HEADINGS | {"all": "0-31"}


def test_all_headings_read_1_based_are_other_windows_under_the_same_names():
    windows = named(32, ONE_BASED)
    shown = {name: f"{window[0] + 1}-{window[-1] + 1}" for name, window in windows.items()}
    assert shown == {"early": "1-10"} | HEADINGS | {"all": "1-32"}
    assert list(windows) == list(named(32, RUN))
    differing = [name for name, window in windows.items() if window != named(32, RUN)[name]]
    assert differing == ["early-mid", "mid", "mid-late", "late"]


@given(layers=st.integers(1, 200), bounds=st.sampled_from([RUN, ONE_BASED]))
def test_a_window_is_a_nonempty_part_of_the_model(layers, bounds):
    """A window is a nonempty part of the model and its bounds are at most half a layer off."""
    windows = named(layers, bounds)
    assert windows["all"] == range(layers)
    for name, (start, stop) in bounds.items():
        window = windows[name]
        assert len(window) > 0
        assert set(window) <= set(range(layers))
        if layers >= 4:
            assert window.start == math.floor(start * layers / 32 + 0.5)
            assert window.stop == math.floor(stop * layers / 32 + 0.5)


@given(bound=st.integers(0, 60), layers=st.integers(1, 200), of=st.integers(1, 60))
def test_a_bound_is_scaled_to_the_nearest_layer_and_half_a_layer_up(bound, layers, of):
    assert scaled(bound, layers, of) == math.floor(Fraction(bound * layers, of) + Fraction(1, 2))


def test_windows_may_be_named_in_a_model_of_another_depth():
    assert named(6, {"first third": (0, 4)}, of=12) == {"first third": range(0, 2)}
    with pytest.raises(VLMError, match="start < stop <= 12"):
        named(6, {"too far": (8, 13)}, of=12)


def test_a_model_without_layers_has_no_windows():
    with pytest.raises(VLMError, match="0 layers"):
        named(0, RUN)


@pytest.mark.parametrize("window", [(-1, 4), (4, 4), (5, 4), (4, 33)])
def test_a_window_that_is_none_of_32_layers_is_refused_by_name(window):
    with pytest.raises(VLMError, match="'mine' is"):
        named(8, {"early": (0, 10), "mine": window})


@given(layers=st.integers(1, 50), data=st.data())
def test_sliding_windows_are_all_runs_of_their_width_in_order(layers, data):
    width = data.draw(st.integers(1, layers))
    windows = sliding(layers, width)
    runs = [range(a, b) for a in range(layers + 1) for b in range(layers + 1) if b - a == width]
    assert windows == runs
    assert set().union(*windows) == set(range(layers))


@pytest.mark.parametrize("width", [0, -1, 9])
def test_a_width_that_does_not_fit_is_refused(width):
    with pytest.raises(VLMError, match=f"A window of {width} layers does not fit a model of 8"):
        sliding(8, width)


def test_each_window_is_an_arm_of_one_block():
    arms = knockouts([5, 4], 9, [range(0, 2), range(1, 3)], heads=[1])
    assert arms == [[Block([4, 5], 9, [0, 1], [1])], [Block([4, 5], 9, [1, 2], [1])]]
    assert knockouts([5], [8, 9], [[2]]) == [[Block([5], [8, 9], [2])]]
    assert knockouts([5], 9, []) == []


def test_sources_targets_and_heads_that_can_be_read_once_reach_every_arm():
    arms = knockouts(iter([4, 5]), iter([9]), iter([range(0, 1), range(1, 2)]), iter([0]))
    assert arms == [[Block([4, 5], [9], [0], [0])], [Block([4, 5], [9], [1], [0])]]


def test_an_arm_changes_the_prediction_as_its_block_does():
    vlm = tiny_vlm()
    stimulus = vlm.read(picture(), "Is there a dog in this image?")
    arms = knockouts(stimulus.visual, stimulus.last, named(len(vlm.layers), RUN).values())
    first, both = ([Block(stimulus.visual, stimulus.last, layers)] for layers in ([0], [0, 1]))
    seen = vlm.next_token(stimulus, [arms[0], arms[-1], []])
    expected = vlm.next_token(stimulus, [first, both, []])
    assert torch.equal(seen, expected)
    assert not torch.allclose(seen[0], seen[1])
    assert not torch.allclose(seen[0], seen[2])


@given(st.integers(1, 60), st.integers(1, 30))
def test_centred_windows_are_clipped_and_hold_their_layer(layers, width):
    found = centred(layers, width)
    assert len(found) == layers
    for layer, window in enumerate(found):
        around = range(layer - width // 2, layer - width // 2 + width)
        assert list(window) == [each for each in around if 0 <= each < layers]
        assert layer in window


def test_centred_windows_of_nine_of_forty_layers_are_the_authors():
    found = centred(40, 9)
    assert [found[layer] for layer in (0, 4, 20, 39)] == [
        range(5), range(9), range(16, 25), range(35, 40)
    ]  # fmt: skip


@pytest.mark.parametrize(("layers", "width"), [(0, 3), (3, 0)])
def test_no_layers_have_no_centred_windows(layers, width):
    with pytest.raises(VLMError, match="at least one of both"):
        centred(layers, width)

"""Families of models. Fails where a primitive is silently wrong on one of them or crashes, and
where the comparison that should find this finds nothing."""

import os
from dataclasses import replace
from functools import cache, reduce

import pytest
import torch
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention

from benchmarks import models
from benchmarks.families import SHAPES, Trial, cell, noise, row_of, rows_of, summary, table
from tests.families import FAMILIES
from tests.families.building import Family
from tests.hooked import Cut, Hooked, Replaced, each_alone, written_out
from tests.tiny import picture, plain_logits, tiny_vlm
from vlmlib import VLM, Block, Stimulus, VLMError, select
from vlmlib.errors import LackingError
from vlmlib.report import Report

BY_NAME = {family.name: family for family in FAMILIES}
TINY = Family("tiny", lambda: (tiny_vlm().model, tiny_vlm().processor, None))
PLAIN = [
    "LLaVA",
    "LLaVA of Falcon-H1",
    "LLaVA of Gemma 2",
    "LLaVA-NeXT",
    "Granite 4 Vision",
    "Idefics3",
    "Gemma 3",
    "PaliGemma 2",
    "Aya Vision",
    "PaddleOCR-VL",
    "LLaVA of DeepSeek-V3",
    "LLaVA of Granite",
    "LLaVA of Phi-3 with longrope",
    "Mllama",
]
# Every family, those whose processors need more packages among them.
HELD = list(BY_NAME) if os.environ.get("VLM_ALL_FAMILIES") == "1" else PLAIN


@pytest.mark.parametrize("name", HELD)
def test_a_family_is_right_or_refused(name):
    rows = rows_of(BY_NAME[name])
    faults = {f"{row.shape}, {what}": how for row in rows for what, how in row.faults.items()}
    assert not faults
    assert (rows[0].shape == "any") == BY_NAME[name].refused


@pytest.mark.parametrize("size", [(40, 40), (60, 40), (40, 60)])
def test_of_tiles_the_lowest_have_the_last_row(size):
    """Two by two of them, and the whole picture."""
    vlm = VLM(*BY_NAME["Idefics3"].build())
    stimulus = vlm.read(noise(0, size), "Hi?")
    last = select.last_row(stimulus)
    in_last = [torch.isin(view, last).tolist() for view in stimulus.views]
    none, lowest = [[False] * 2] * 2, [[False] * 2, [True] * 2]
    assert in_last == [none, none, lowest, lowest, lowest]


@cache
def plain() -> Report:
    report = models.report_of(BY_NAME["LLaVA"])
    assert isinstance(report, Report)
    return report


@pytest.mark.slow
@pytest.mark.parametrize("name", HELD)
def test_the_row_of_a_family_on_the_page_of_models_is_current(name):
    on_the_page = models.rows_in(models.PAGE.read_text())
    assert models.row_of(BY_NAME[name], plain()) == on_the_page[name]


@pytest.mark.parametrize(
    "smear",
    [
        lambda maps: functional.conv2d(maps, torch.ones(1, 1, 3, 3), padding=1),
        lambda maps: functional.conv2d(maps, torch.ones(1, 1, 3, 3), padding="same"),
        lambda maps: functional.conv2d(maps, torch.ones(1, 1, 7, 7), None, 2, 3),
        lambda maps: functional.interpolate(maps, (16, 16), mode="bilinear"),
        lambda maps: functional.interpolate(maps, scale_factor=2, mode="bicubic"),
    ],
    ids=["kernel", "same", "stride", "bilinear", "bicubic"],
)
def test_where_each_is_alone_no_pixel_reaches_its_neighbours_cell(smear):
    left = torch.zeros(1, 1, 8, 8)
    left[..., :4] = 1.0
    assert smear(left)[..., smear(left).shape[-1] // 2 :].any()
    with each_alone():
        alone = smear(left)
    half = alone.shape[-1] // 2
    assert alone[..., :half].all()
    assert not alone[..., half:].any()


def test_where_each_is_alone_a_smaller_map_shows_all_of_its_own_part():
    spot = torch.zeros(1, 1, 8, 8)
    spot[..., 1, 3] = 1.0
    with each_alone():
        alone = functional.interpolate(spot, scale_factor=0.5, mode="bilinear")
    assert alone.nonzero()[:, 2:].tolist() == [[0, 1]]


def tiny_trial(shape: str = "wide") -> Trial:
    vlm, image = tiny_vlm(), noise(0, SHAPES[shape])
    return Trial(TINY, vlm, image, vlm.read(image, "Is it a dog?"))


def test_the_oracle_gives_what_a_llama_written_out_gives():
    """Both kinds of edits, against a third computation that uses no hooks."""
    trial = tiny_trial()
    (ablated, replaced), (blocked, cut) = trial.ablation(0), trial.knockout([0])
    for arm, edits in (
        ([], []),
        (ablated, replaced),
        (blocked, cut),
        (ablated + blocked, replaced + cut),
    ):
        expected = plain_logits(trial.vlm, trial.stimulus.embeddings, arm)
        torch.testing.assert_close(trial.plain.logits(edits)[-1], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("masked", [None, "boolean", "additive"])
def test_written_out_attention_is_torchs(masked):
    torch.manual_seed(0)
    query, key, value = torch.randn(1, 4, 5, 8), torch.randn(1, 2, 5, 8), torch.randn(1, 2, 5, 6)
    allowed = torch.ones(5, 5, dtype=torch.bool).tril(-1) | torch.eye(5, dtype=torch.bool)
    additive = torch.zeros(5, 5).masked_fill(~allowed, -torch.inf)
    mask = {None: None, "boolean": allowed, "additive": additive}[masked]
    settings = {"attn_mask": mask, "is_causal": mask is None, "scale": 0.3}
    expected = scaled_dot_product_attention(query, key, value, **settings, enable_gqa=True)
    torch.testing.assert_close(written_out(query, key, value, **settings), expected)


def test_an_addition_between_layers_is_left_out_where_layer_0_is_replaced():
    """A picture that enters later, too: planted, and removed from the tokens that are ablated."""
    trial = tiny_trial()
    layers, visual = trial.plain.stack.layers, trial.visual
    value = torch.zeros(trial.vlm.d_model)
    replaced = [Replaced(visual, value, 0)]
    clean, expected = trial.clean[-1], trial.plain.logits(replaced)[-1]

    def add(_module, args):
        hidden = args[0].clone()
        hidden[:, visual] += 1
        return (hidden, *args[1:])

    handle = layers[1].register_forward_pre_hook(add)
    try:
        torch.testing.assert_close(trial.plain.logits(replaced)[-1], expected)
        assert not torch.allclose(trial.plain.logits()[-1], clean)
    finally:
        handle.remove()


def test_every_primitive_is_judged_right_on_a_small_llava():
    row = row_of(TINY, tiny_vlm(), "odd")
    assert {row.cells.pop("wrapped"), *row.cells.values()} == {"arms share", "right"}
    assert len(row.cells) == 13


def test_a_planted_fault_is_wrong(monkeypatch):
    trial = tiny_trial()
    arm, edits = trial.ablation(0)
    other, _ = trial.knockout(None)
    assert cell(lambda: trial.next_token(arm, edits)) == "right"
    assert cell(lambda: trial.next_token(other, edits)).startswith("WRONG by ")
    mirrored = Stimulus.tokens_of
    monkeypatch.setattr(Stimulus, "tokens_of", lambda self, mask: mirrored(self, mask[:, ::-1]))
    assert cell(trial.places).startswith("WRONG by ")


def test_pictures_that_reach_past_an_ablation_are_seen(monkeypatch):
    trial = tiny_trial()
    assert cell(trial.blindness) == "right"
    monkeypatch.setattr(
        type(trial.vlm),
        "next_token",
        lambda self, stimulus, _: trial.hooked(stimulus).logits()[-1:],
    )
    assert cell(trial.blindness).startswith("WRONG by ")


def test_an_arm_that_is_not_felt_is_no_evidence():
    trial = tiny_trial()
    first = [Replaced([0], trial.states[0, 0], 0)]
    said = cell(lambda: trial.next_token([Block([0], to=1, layers=[])], first))
    assert said == "unjudged: the arm is not felt"


def refuse() -> float:
    raise VLMError("This model has | no places. " + "Because " * 20)


def crash() -> float:
    raise IndexError("list index out of range")


def test_what_the_oracle_raises_is_no_crash_of_the_instrument(monkeypatch):
    trial = tiny_trial()
    monkeypatch.setattr(Hooked, "logits", lambda self, edits=(): crash())
    said = cell(lambda: trial.next_token([], []))
    assert said == "unjudged: the oracle raised IndexError: list index out of range"


def test_whatever_kinds_of_tokens_there_are_grow_with_a_text():
    plain = tiny_trial().plain
    kinds = {"moe_mm_token_type_ids": torch.ones_like(plain.inputs["input_ids"])}
    grown = replace(plain, inputs=plain.inputs | kinds).after([7, 8])
    assert grown.inputs["input_ids"][0, -2:].tolist() == [7, 8]
    assert grown.inputs["moe_mm_token_type_ids"][0, -3:].tolist() == [1, 0, 0]


@pytest.mark.parametrize("name", ["LLaVA-NeXT", "Granite 4 Vision", "Idefics3", "Gemma 3"])
def test_the_oracle_is_blind_and_reads_out_what_the_model_says(name):
    """On models that the instrument may refuse, so that nothing else tries the oracle on them."""
    family = BY_NAME[name]
    model, processor, _ = family.build()
    stack, logits = reduce(getattr, family.stack.split("."), model), []
    for seed in (1, 2):
        text = f"{processor.image_token}Is it a dog?"
        inputs = processor(images=noise(seed, SHAPES["odd"]), text=text, return_tensors="pt")
        plain = Hooked(model, stack, dict(inputs))
        states, clean = plain.states(), plain.logits()
        torch.testing.assert_close(plain.read_out(states[-1]), clean)
        id_of_image = model.config.image_token_id
        visual = (inputs["input_ids"][0] == id_of_image).nonzero()[:, 0].tolist()
        value = torch.full_like(states[0, 0], 0.5)
        logits.append((clean[-1], plain.logits([Replaced(visual, value, 0)])[-1]))
    (clean, blind), (other, also_blind) = logits
    torch.testing.assert_close(blind, also_blind)
    assert not torch.allclose(clean, other, rtol=0.01)


def test_a_refusal_and_a_crash_are_told_apart_and_counted():
    assert cell(refuse).startswith("refused: This model has / no places. Because")
    assert cell(crash) == "CRASH: IndexError: list index out of range"
    assert cell(lambda: float("nan")) == "WRONG by nan"
    row = replace(row_of(TINY, tiny_vlm(), "square"), cells={"a": "right", "b": cell(crash)})
    assert row.faults == {"b": "CRASH: IndexError: list index out of range"}
    assert "1 families: 0 refused, 1 with a fault, 0 without. Cells: 1 right, 1 CRASH." in summary(
        [row]
    )
    assert table([row]).splitlines()[0] == "| family | shape | a | b |"


def test_layers_that_attend_are_found():
    trial = tiny_trial()
    assert trial.plain.attending() == [0, 1]
    model, processor, _ = BY_NAME["LLaVA of Falcon-H1"].build()
    inputs = processor(images=trial.image, text="<image>Hi?", return_tensors="pt")
    stack = model.model.language_model
    assert Hooked(model, stack, dict(inputs)).attending() == [0, 1, 2, 3]
    cut = [Cut([2, 3], trial.last, layer=1)]
    assert not torch.allclose(trial.plain.logits(cut)[-1], trial.clean[-1])


ENDINGS = {"PaliGemma 2": "\n", "Fuyu": "<0x04>"}  # what their processors write after every text


@pytest.mark.filterwarnings("ignore:.*cannot share work:UserWarning")
@pytest.mark.parametrize("name", [each for each in ENDINGS if each in HELD])
def test_an_answer_begins_after_all_that_a_processor_writes(name):
    """And nothing can be put between."""
    vlm, ending = VLM(*BY_NAME[name].build()), ENDINGS[name]
    stimulus, tokenizer = vlm.read(picture(), "Is it a dog?"), vlm.processor.tokenizer
    assert tokenizer.decode(stimulus.input_ids).endswith(f"Is it a dog?{ending}")
    first = vlm.first_token(stimulus, "dog")
    answer = "dog" if ending.isspace() else " dog"
    assert first == tokenizer(answer, add_special_tokens=False)["input_ids"][0]
    with pytest.raises(LackingError, match="after the prefill 'It is a'"):
        vlm.read(picture(), "Is it a dog?", prefill="It is a")

"""From images to verdicts, on planted models whose mechanism is known.

`Local` answers from the visual tokens that are red, `Elsewhere` from a text token that holds whether one is, `Blind`
says yes whatever it sees. Fails unless the claim about object tokens is supported for the first, refuted or undecided
for the second, and undecided for the third.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fixtures.coco import CocoData
from fixtures.measurements import Subject, painted_out
from tests.tiny import PATCH, tiny_processor, tiny_vlm
from vlmlib import VLM, VQA, Ablate, Block, Polling, select
from vlmlib.reference import ablated
from vlmlib.statistics import beside_negative_control, exceeds

IMAGES = 12


class Local(VLM):
    """Visual tokens hold their patch's mean colour; yes if the last position can see a red one."""

    def read(self, image, question, prefill=""):
        stimulus = super().read(image, question, prefill)
        pixels = stimulus.image_processor(image, do_normalize=False, return_tensors="np")["pixel_values"][0]
        rows, cols = stimulus.grid
        colours = pixels.reshape(3, rows, PATCH, cols, PATCH).mean((2, 4)).reshape(3, -1).T
        embeddings = torch.zeros_like(stimulus.embeddings)
        embeddings[stimulus.visual, :3] = torch.from_numpy(colours).float()
        return replace(stimulus, embeddings=embeddings)

    def next_token(self, stimulus, arms):
        return torch.stack([self._answer(bool(self._sees(stimulus, arm))) for arm in arms])

    def _sees(self, stimulus, arm):
        embeddings = ablated(stimulus.embeddings, [each for each in arm if isinstance(each, Ablate)])
        hidden = {token for each in arm if isinstance(each, Block) for token in each.source}
        seen = [token for token in stimulus.visual.tolist() if token not in hidden]
        red, green, blue = embeddings[seen, :3].T
        return ((red > 0.45) & (green < 0.25) & (blue < 0.25)).any()

    def _answer(self, yes: bool):
        tokenizer = self.processor.tokenizer
        logits = torch.zeros(len(tokenizer))
        logits[tokenizer.convert_tokens_to_ids("▁Yes" if yes else "▁No")] = 1.0
        return logits


class Elsewhere(Local):
    """What the image shows is gathered in the first position, which no visual token's ablation touches."""

    def read(self, image, question, prefill=""):
        stimulus = super().read(image, question, prefill)
        stimulus.embeddings[0, 0] = float(Local._sees(self, stimulus, []))
        return stimulus

    def _sees(self, stimulus, arm):
        return stimulus.embeddings[0, 0] > 0


class Blind(Local):
    def _sees(self, stimulus, arm):
        return True


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> CocoData:
    """Grey images of 64 x 64 with one red square of 16 x 16, one visual token; three too small for the filter."""
    folder: Path = tmp_path_factory.mktemp("red")
    (folder / "annotations").mkdir()
    (folder / "red").mkdir()
    images, annotations = [], []
    for index in range(IMAGES + 3):
        left, top = 16 * (index % 4), 16 * (index // 4 % 4)
        pixels = np.full((64, 64, 3), 128, np.uint8)
        pixels[top : top + 16, left : left + 16] = (230, 20, 20)
        Image.fromarray(pixels).save(folder / "red" / f"{index}.png")
        images.append({"id": index, "file_name": f"{index}.png", "width": 64, "height": 64})
        corners = [left, top, left + 16, top, left + 16, top + 16, left, top + 16]
        entry = {"id": index, "image_id": index, "category_id": 1, "segmentation": [corners], "iscrowd": 0}
        annotations.append(entry | {"area": 256 if index < IMAGES else 9})
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "stop sign"}]}
    (folder / "annotations" / "instances_red.json").write_text(json.dumps(content))
    bounds = {"area": "pixels", "above": 100, "below": 300, "annotations_below": 4}
    (folder / "filter.json").write_text(json.dumps(bounds))
    return CocoData(folder)


def measured(planted: type[VLM], data: CocoData):
    subject = Subject("planted", planted(tiny_vlm().model, tiny_processor()), data)

    def design(stimulus, tokens, generator):
        elsewhere = select.shape_matched(stimulus, tokens, generator)
        assert elsewhere is not None
        return {"O": [Ablate(tokens, subject.mean)], "control": [Ablate(elsewhere, subject.mean)]}

    lost = subject.lost(Polling, design)
    verdict = exceeds(lost["O"].sum(), len(lost["O"]), 0.5)
    return lost, beside_negative_control(verdict, lost["O"], lost["control"])


def test_a_planted_local_mechanism_is_supported(data):
    lost, verdict = measured(Local, data)
    assert lost.counts["asked"] == lost.counts["right only with the object"] == IMAGES
    assert (lost["O"].sum(), lost["control"].sum(), verdict.outcome) == (IMAGES, 0, "supported")


def test_a_planted_mechanism_elsewhere_is_not_taken_for_a_local_one(data):
    lost, verdict = measured(Elsewhere, data)
    assert (lost["O"].sum(), len(lost["O"])) == (0, IMAGES)
    assert verdict.outcome != "supported"
    assert exceeds(0, IMAGES, 0.5).outcome == "refuted"


def test_a_model_that_does_not_look_leaves_no_image_to_measure(data):
    lost, verdict = measured(Blind, data)
    assert (lost.counts["right"], lost.counts["right only with the object"]) == (IMAGES, 0)
    assert (verdict.outcome, verdict.why) == ("undecided", "no images are left")


def test_an_image_without_a_place_for_the_control_is_left_out_and_counted(data):
    subject = Subject("planted", Local(tiny_vlm().model, tiny_processor()), data)
    lost = subject.lost(Polling, lambda *_: None)
    assert lost.counts["without a place for the control"] == IMAGES
    assert len(lost["anything"]) == 0


def test_images_without_a_question_are_not_asked_one(data):
    subject = Subject("planted", Local(tiny_vlm().model, tiny_processor()), data)
    assert subject.lost(VQA, lambda *_: {"clean": []}).counts["asked"] == 0


def test_the_mean_comes_from_images_that_the_filter_leaves_out(data):
    subject = Subject("planted", Local(tiny_vlm().model, tiny_processor()), data)
    colours = [subject.vlm.read(Image.open(path), "") for path in data.others]
    expected = torch.cat([each.embeddings[each.visual] for each in colours]).mean(0)
    assert len(data.others) == 3
    torch.testing.assert_close(subject.mean, expected)


def test_painting_out_covers_the_whole_box_and_nothing_else():
    image, mask = Image.new("RGB", (40, 30), (9, 9, 9)), np.zeros((30, 40), bool)
    mask[5, 10] = mask[20, 25] = True
    changed = (np.asarray(painted_out(image, mask, np.random.default_rng(0))) != 9).any(-1)
    expected = np.zeros((30, 40), bool)
    expected[5:21, 10:26] = True
    assert np.array_equal(changed & ~expected, np.zeros_like(expected))
    assert changed[expected].mean() > 0.99

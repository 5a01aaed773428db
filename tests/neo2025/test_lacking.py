"""The suite on models that can do less than the paper's: few visual tokens, arms that run one by
one, no gradients, no places.

Fails if a claim fails or breaks on such a model by anything but a verdict, if one that cannot be
measured is not left out with the true reason, or if what one arm lacks takes others along.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from transformers import (
    Gemma3TextConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
)

from claims.neo2025 import protocol, sample
from fixtures.emoji_coco.scenes import NAMES
from fixtures.emoji_llava.architecture import Sizes, llava, llava_processor
from tests.neo2025 import NEO2025 as CLAIMS
from tests.tiny import PATCH, randomised, tiny_processor, tiny_vlm
from vlmlib import LackingError, Stimulus

pytest_plugins = ["tests.inner"]

OWN = {
    claim.id
    for claim in CLAIMS.values()
    if not {"models_only", "architectures"} & claim.subjects.keys()
}
LEFT_OUT = "undecided, left out"
ALONE = "arms cannot share work on this model"
NO_GRADIENTS = "Through this model no gradient flows."
NO_PLACES = "Where the tokens of this model look is not known."
# Claims about high-gradient tokens: of counts that 16 tokens do not have, and others.
COUNTED = {"object-beats-gradient", "object-beats-gradient-20"}
GRADED = COUNTED | {"object-beats-gradient-same-count", "gradient-increases"}


def saved(model: LlavaForConditionalGeneration, processor: LlavaProcessor, folder: Path) -> Path:
    """A checkpoint of a model that likes to say yes and names of categories, and ends with one."""
    ids = [processor.tokenizer(name, add_special_tokens=False)["input_ids"][0] for name in NAMES]
    yes, end = processor.tokenizer.convert_tokens_to_ids(["▁Yes", "</s>"])
    with torch.no_grad():
        model.lm_head.weight[sorted({*ids, yes})] *= 4
    assert model.generation_config is not None
    model.generation_config.eos_token_id = sorted({*ids, yes, end})
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def few_tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a grid of 4 x 4 visual tokens."""
    model: Any = tiny_vlm().model
    return saved(model, tiny_processor(), tmp_path_factory.mktemp("checkpoints") / "few")


@pytest.fixture(scope="module")
def nine_tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of one layer with a grid of 3 x 3."""
    processor = llava_processor(tiny_processor().tokenizer, 3 * PATCH, PATCH)
    vision = Sizes(width=16, mlp=32, layers=2, heads=2)
    text = Sizes(width=16, mlp=32, layers=1, heads=4)
    torch.manual_seed(0)
    model = randomised(llava(processor, vision, text))
    return saved(model, processor, tmp_path_factory.mktemp("checkpoints") / "nine")


@pytest.fixture(scope="module")
def one_by_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, in which every position sees all others, so that arms run one by one."""
    own = tiny_vlm().model.config
    text = Gemma3TextConfig(
        vocab_size=own.text_config.vocab_size,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=4,
        use_bidirectional_attention=True,
        eos_token_id=own.text_config.eos_token_id,
    )
    config = LlavaConfig(
        vision_config=own.vision_config,
        text_config=text,
        image_token_index=own.image_token_id,
        vision_feature_layer=own.vision_feature_layer,
        vision_feature_select_strategy=own.vision_feature_select_strategy,
    )
    torch.manual_seed(0)
    model = randomised(LlavaForConditionalGeneration(config))
    return saved(model, tiny_processor(), tmp_path_factory.mktemp("checkpoints") / "one-by-one")


@pytest.fixture
def on(inner, mean_file) -> Callable[..., tuple[pytest.RunResult, dict[str, str]]]:
    """Runs all claims on a model and three scenes: what is printed, and the report's pages."""

    def on(checkpoint: Path, *options: str) -> tuple[pytest.RunResult, dict[str, str]]:
        folder = inner.folder / "report"
        own = (f"--vlm-model={checkpoint}", f"--vlm-mean={mean_file(16)}", *inner.on_scenes)
        result = inner.run(inner.claims, *own, f"--claims-report={folder}", *options)
        return result, {file.name: file.read_text() for file in folder.glob("*.md")}

    return on


def outcomes_of(result: pytest.RunResult) -> dict[str, str]:
    """By claim the head of its line in the terminal."""
    lines = [line.strip() for line in result.outlines]
    start = next(at for at, line in enumerate(lines) if "= verdicts =" in line)
    found, claim = {}, ""
    for line in lines[start:]:
        name, _, told = line.partition(": ")
        if name in CLAIMS:
            claim = name
        elif claim and told.startswith(("supported", "refuted", "undecided")):
            found[claim] = told.partition(": ")[0]
    return found


def check_nothing_broke(result: pytest.RunResult) -> dict[str, str]:
    """Every claim has a verdict, and what failed is refuted."""
    found, counts = outcomes_of(result), result.parseoutcomes()
    assert set(found) == OWN
    heads = [told.split(",")[0] for told in found.values()]
    assert counts.get("passed", 0) == heads.count("supported")
    assert counts.get("failed", 0) == heads.count("refuted")
    assert counts.get("undecided", 0) == heads.count("undecided")
    assert not {"error", "errors", "skipped"} & counts.keys()
    return found


@pytest.fixture
def all_count(monkeypatch):
    """Every image counts, whatever the model says."""
    monkeypatch.setattr(sample, "counts", lambda clean: True)
    monkeypatch.setattr(sample, "filter_2", lambda found: [each.example for each in found])


def left_out(found: dict[str, str]) -> set[str]:
    return {claim for claim, told in found.items() if told == LEFT_OUT}


@pytest.mark.slow
def test_few_visual_tokens_leave_out_what_needs_more(on, few_tokens, all_count):
    """Of 16 there are 5 and 10, and not 20; what needs no more is measured on the same images."""
    result, pages = on(few_tokens)
    found = check_nothing_broke(result)
    of_counts = {"object-beats-gradient", "object-beats-gradient-20", "object-beats-random"}
    assert left_out(found) == of_counts
    why = "No example has the arm 'gradient 20' for generative. top was asked for 20 of 16 visual"
    told = "Left out on few, as what they need is not there"
    result.stdout.fnmatch_lines([f"{told}: object-beats-gradient-20: {why}*"])
    assert f"\n{told}:\n\n- object-beats-gradient: " in pages["verdicts.md"]
    page = pages["few.ablations.md"]
    assert "- polling, random 20: left out on all 3: random was asked for 20 of 16 vis" in page
    assert [line for line in page.splitlines() if line.startswith("| random 10 (10.0)")]
    assert "could not be asked" not in page


@pytest.mark.slow
def test_what_has_but_one_count_or_window_is_no_rise_and_no_peak(on, nine_tokens, all_count):
    """Of 9 tokens there are 5, and of one layer one window."""
    result, pages = on(nine_tokens)
    found = check_nothing_broke(result)
    assert {"gradient-increases", "sliding-peak"} <= left_out(found)
    assert "sliding-peak: This model has too few layers for windows" in pages["verdicts.md"]


@pytest.mark.slow
def test_a_model_whose_arms_run_one_by_one_says_so_once(on, one_by_one, all_count):
    result, _ = on(one_by_one)
    check_nothing_broke(result)
    assert sum(ALONE in line for line in result.outlines) == 1


@pytest.mark.slow
def test_a_report_has_all_rows_as_data_measured_or_recorded(on, few_tokens, all_count, inner):
    """With how many images each step left; of recorded rows, as far as they tell."""
    on(few_tokens)
    rows = inner.store / "rows.sqlite"
    again = inner.folder / "again"
    inner.run(inner.claims, f"--vlm-rows={rows}", "--vlm-limit=3", f"--claims-report={again}")
    found = pd.read_parquet(inner.folder / "report" / "few.rows.parquet")
    recorded = pd.read_parquet(again / "few.recorded.rows.parquet")
    pd.testing.assert_frame_equal(found.drop(columns="subject"), recorded.drop(columns="subject"))
    asked = {"polling, ablations", "VQA, knockouts", "logit lens", "filter 2"}
    assert asked < set(found["measurement"])
    of_polling = found.loc[found["measurement"] == "polling, ablations", "example"]
    assert len({*of_polling}) == 3
    assert found.loc[found["measurement"] == "polling, ablations", "counts"].all()
    assert found.loc[found["measurement"] == "logit lens", "counts"].isna().all()
    told = json.loads((inner.folder / "report" / "verdicts.json").read_text())["chosen"]["few"]
    left = {(each["of"], each["step"]): each["left"] for each in told}
    assert left["polling, ablations", "counted"] == 3
    assert any(of.startswith("Tables 1 and 2") for of, _ in left)


@pytest.mark.slow
@pytest.mark.parametrize(("refuses", "expected"), [(True, GRADED), (False, COUNTED)])
def test_without_gradients_the_claims_about_them_are_left_out(
    on, few_tokens, all_count, monkeypatch, refuses, expected
):
    """And no other."""

    def refused(*args: Any, **more: Any) -> None:
        raise LackingError(NO_GRADIENTS)

    if refuses:
        monkeypatch.setattr(protocol, "integrated_gradients", refused)
    result, pages = on(few_tokens, "-k", "localization")
    found = outcomes_of(result)
    assert left_out(found) == expected | {"object-beats-random"}
    assert not {"failed", "error", "errors"} & result.parseoutcomes().keys()
    why = f"There are no integrated gradients: {NO_GRADIENTS}"
    page = pages["few.ablations.md"]
    assert (f"- VQA, gradient 5: left out on all 3: {why}" in page) is refuses


@pytest.mark.slow
def test_without_places_every_claim_about_regions_is_left_out(
    on, few_tokens, all_count, monkeypatch, inner, mean_file
):
    """With the reason that the model's images give; so it is of what was recorded, and a shard goes
    on with what it can measure."""

    def refused(self: Stimulus, mask: Any) -> None:
        raise LackingError(NO_PLACES)

    monkeypatch.setattr(Stimulus, "tokens_of", refused)
    result, pages = on(few_tokens)
    found = check_nothing_broke(result)
    assert left_out(found) == OWN
    reasons = pages["verdicts.md"].partition("is not there:")[2]
    assert NO_PLACES in reasons
    assert "on 3 of 3 images" in reasons
    rows = inner.store / "rows.sqlite"
    recorded = inner.run(inner.claims, f"--vlm-rows={rows}", "--vlm-limit=3")
    assert left_out(outcomes_of(recorded)) == OWN
    own = (f"--vlm-model={few_tokens}", f"--vlm-mean={mean_file(16)}", *inner.on_scenes)
    shard = inner.run(inner.claims, *own, "--vlm-shard=1/1")
    assert shard.parseoutcomes() == {"passed": 1, "deselected": 15}
    assert any(line.startswith("left out: few, logit lens, ") for line in shard.errlines)

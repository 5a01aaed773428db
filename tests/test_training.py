"""Training batches: is a packed pair the same to the model as the prompt that it will meet alone?

Fails if the ids differ from the processor's, if pairs see each other, or if positions are off.
"""

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from fixtures.emoji_coco.scenes import NAMES, TRAINING, look_alikes, render, visible_share
from fixtures.emoji_llava.architecture import PROMPT, build_model, build_processor
from fixtures.emoji_llava.batches import ABSENT, DECISIVE, NAMED, Scenes, description, pairs
from fixtures.emoji_llava.train import answer_loss, load, patch_loss, save

PROCESSOR = build_processor()
torch.manual_seed(0)
MODEL = build_model(PROCESSOR).eval()


def test_the_loss_of_a_packed_batch_is_that_of_its_prompts_one_by_one():
    indices = range(2, 4)
    batch = Scenes(PROCESSOR, 2, 0, text=True).batch(indices)
    rng = np.random.default_rng([TRAINING, indices.start])
    losses = []
    with torch.no_grad():
        packed = answer_loss(MODEL, batch)
        for index in indices:
            scene = render([TRAINING, index])
            for question, reply in pairs(scene, rng):
                prompt = PROMPT.format(question)
                before = PROCESSOR(images=scene.image, text=prompt, return_tensors="pt")[
                    "input_ids"
                ].shape[1]
                inputs = PROCESSOR(
                    images=scene.image, text=f"{prompt} {reply}</s>", return_tensors="pt"
                )
                logits = MODEL(**inputs).logits[0, before - 1 : -1]
                losses.append(
                    cross_entropy(logits, inputs["input_ids"][0, before:], reduction="none")
                )
    weight = batch.weight[batch.weight > 0]
    alone = (torch.cat(losses) * weight).sum() / weight.sum()
    torch.testing.assert_close(packed, alone, rtol=1e-4, atol=1e-4)


def test_patch_labels_lie_where_the_objects_are():
    batch = Scenes(PROCESSOR, 8, 0, text=False).batch(range(8))
    for index, labels in enumerate(batch.patch_labels):
        seen = {
            each.category for each in render([TRAINING, index]).objects if visible_share(each) > 0.5
        }
        assert seen <= {NAMES[label - 1] for label in labels.tolist() if label}
    assert torch.isfinite(patch_loss(MODEL, torch.nn.Linear(192, 1 + len(NAMES)), batch))


def test_polling_pairs_balance_yes_and_no_and_never_ask_about_the_half_visible():
    answers, similar, absent = [], 0, 0
    for index in range(150):
        scene = render([TRAINING, index])
        share = {each.category: visible_share(each) for each in scene.objects}
        for question, reply in pairs(scene, np.random.default_rng(index)):
            if not question.startswith("Is there"):
                continue
            name = question.removeprefix("Is there a ").removesuffix(" in this image?")
            answers.append(reply)
            if reply == "Yes":
                assert share[name] >= NAMED
            else:
                assert share.get(name, 0) <= ABSENT
                absent += 1
                similar += any(name in look_alikes(each) for each in share)
    assert 0.9 < answers.count("Yes") / answers.count("No") <= 1.1
    assert similar / absent > 0.4


def test_descriptions_name_the_visible_objects_from_left_to_right():
    for index in range(30):
        scene = render([TRAINING, index])
        text = description(scene)
        seen = [each for each in scene.objects if visible_share(each) >= NAMED]
        ordered = sorted(seen, key=lambda each: each.box[0] + each.box[2])
        at = [text.index(f"a {each.category}") for each in ordered]
        assert at == sorted(at)
        assert text.startswith("The image shows ")


def test_the_token_that_decides_a_question_weighs_most():
    batch = Scenes(PROCESSOR, 8, 0, text=True).batch(range(8))
    decisive = {
        PROCESSOR.tokenizer.decode([token]).strip()
        for token in batch.text[batch.weight == DECISIVE].tolist()
    }
    assert {"Yes", "No"} < decisive
    assert not decisive & {"It", "is", "a", "The", ".", "</s>"}


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    assert load(tmp_path, "cpu") is None
    save({"done": {"vision": 3, "joint": 0}, "model": {"weight": torch.ones(2)}}, tmp_path)
    state = load(tmp_path, "cpu")
    assert state is not None
    assert state["done"] == {"vision": 3, "joint": 0}
    assert [file.name for file in tmp_path.iterdir()] == ["checkpoint.pt"]

"""The count of the paper's own run before it is run: does it count what happens, and price it as
the real sizes demand?

Fails if a pass is missed or counted twice, if a stand-in of few layers takes other passes than a
deeper one, if a text has another length than was assumed, if operations are not those that torch
counts, or if filter 2 takes more than a tenth of the decode steps of one picture at a time.
"""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import describing, rehearsal
from benchmarks.common import CPU_ATTENTION
from benchmarks.cost import Card, Pass, Rate, Sizes, recorded
from benchmarks.rehearsal import BEFORE, Counted, Said, Step, count, lengths_of, parsed, steps_of
from benchmarks.stand_ins import examples, vlm_like
from claims.neo2025.architectures import build, parameters
from vlmlib import VLM, Ablate
from vlmlib.decoder import Decoder
from vlmlib.decoding import describe
from vlmlib.roles import decoder_of

LLAVA, QWEN = "llava-1.5-7b", "qwen2-vl-2b"
SHALLOW = {model: vlm_like(model, layers=2) for model in (LLAVA, QWEN)}
EXAMPLE = examples(1)[0]
STIMULI = {model: vlm.read(EXAMPLE.image, "Describe the image.") for model, vlm in SHALLOW.items()}


def counted(name: str, *options: str, model: str = LLAVA, vlm: VLM | None = None) -> Counted:
    """A step of a run under these options, rehearsed on one image."""
    vlm = vlm or SHALLOW[model]
    steps = steps_of(model, vlm, vlm, parsed(["--images", "1", *options]))
    [found] = [step for step in steps if step.name == name]
    return count(found, vlm)


def decoder_passes(found: Counted) -> list[tuple[int, int, int]]:
    decoder = [each for each in found.passes if each.part == "decoder"]
    return [(each.rows, each.positions, each.keys) for each in decoder]


@pytest.mark.parametrize("model", [LLAVA, QWEN])
def test_filter_2_takes_at_most_a_tenth_of_the_decode_steps(model):
    options = parsed(["--together", "24"])
    now, before = rehearsal.filter_2(model, SHALLOW[model], options)
    assert before.total > 300_000  # tokens, one step for each
    assert 10 * count(now, SHALLOW[model]).decode_steps < before.total


def test_one_by_one_takes_a_step_for_each_token():
    # 8 pictures with and without their target; 3 are not named, 3 of the 5 even without it
    few = ("--together", "8", "--candidates", "8", "--length", "30", "--kept", "2")
    found = counted(BEFORE, *few)
    assert sum(each.decodes for each in found.passes) == found.step.done
    assert found.decode_steps == pytest.approx(found.step.total)
    whole = 2 * 3 + 2  # of 16 texts
    expected = whole * 30 + (16 - whole) * 10
    assert found.step.total == pytest.approx(expected, rel=rehearsal.SPREAD)


def test_texts_of_one_batch_have_the_lengths_that_are_assumed():
    """Five arms in batches of two rows: who has ended is asked about no more."""
    vlm, stimulus = SHALLOW[LLAVA], STIMULI[LLAVA]
    value, lengths = torch.ones(vlm.d_model), [4, 9, 1, 6, 2]
    arms = [[Ablate([3], at * value)] for at in range(5)]
    said = Said(vlm.processor.tokenizer, set(), 20, lengths=iter(lengths), whole=10)
    room = len(stimulus.embeddings) + 20
    texts = describe(vlm.decoder, stimulus, arms, said, max_tokens=2 * room)
    assert [len(ids) for ids in texts] == lengths
    assert [said.text(ids) for ids in texts] == ["dog", "nothing", "dog", "nothing", "dog"]


@pytest.mark.parametrize("naming", [0, 0.3, 1])
def test_so_many_texts_name_the_object_and_end_at_a_third(naming):
    lengths = np.array(lengths_of(1000, naming, 90, np.random.default_rng(0)))
    named = 2 * lengths < 90
    assert named.mean() == naming
    assert lengths.mean() == pytest.approx(naming * 30 + (1 - naming) * 90, rel=0.03)


def test_integrated_gradients_compute_every_position_of_every_step():
    length = len(SHALLOW[LLAVA].read(EXAMPLE.image, "Is there a dog in the image?").embeddings)
    found = counted("integrated gradients")
    steps_and_ends = 50 + 2
    assert sum(rows for rows, _, _ in decoder_passes(found)) == steps_and_ends
    # of 4,318 images 39 are kept, a quarter of the others are asked about, and 100 have a question
    images = 39 + 1070 + 100
    assert found.positions == images * steps_and_ends * length
    at_once = 4096 // length
    assert sum(each.graded for each in found.passes) == -(-50 // at_once)
    assert found.pictures == images


@pytest.mark.parametrize("name", ["integrated gradients", "filter 2"])
def test_a_deeper_stand_in_takes_the_same_passes(name):
    deep = vlm_like(LLAVA, layers=4)
    few = ("--together", "3")
    expected = decoder_passes(counted(name, *few, vlm=deep))
    assert decoder_passes(counted(name, *few)) == expected != []


@pytest.mark.parametrize("model", [LLAVA, QWEN])
def test_operations_are_those_that_torch_counts(model):
    """On the stand-in itself: a prompt is read, arms share it, and texts go on."""
    vlm, stimulus = SHALLOW[model], STIMULI[model]
    arms = [[], [Ablate(stimulus.visual[100:], torch.zeros(vlm.d_model))]]
    counter = FlopCounterMode(display=False, custom_mapping=CPU_ATTENTION)
    with recorded(vlm) as passes, counter:
        vlm.read(EXAMPLE.image, "Describe the image.")
        vlm.next_token(stimulus, arms)
        vlm.describe(stimulus, arms, max_new_tokens=5)
    expected = sum(map(Sizes.of(vlm.model).operations, passes))
    assert counter.get_total_flops() == pytest.approx(expected, rel=1e-3)


def on_meta(decoder: Decoder, length: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """The last hidden states of a prompt, without numbers."""
    with torch.device("meta"):
        embeddings = torch.empty(1, length, decoder.d_model, dtype=dtype, requires_grad=True)
        output = decoder.stack(
            inputs_embeds=embeddings,
            position_ids=torch.zeros(1, length, dtype=torch.long),
            attention_mask=torch.ones(1, 1, length, length, dtype=torch.bool),
            use_cache=False,
        )
    return output.last_hidden_state


@pytest.mark.parametrize("graded", [False, True])
def test_operations_of_the_real_model_are_those_that_torch_counts(graded):
    """The prompt of LLaVA-1.5-7B on the meta device, and the way back."""
    sizes, length = Sizes.of(build(LLAVA)), 600
    decoder = decoder_of(build(LLAVA).requires_grad_(False))
    with FlopCounterMode(display=False) as counter:
        hidden = on_meta(decoder, length)
        if graded:
            hidden.sum().backward()
    prompt = Pass("decoder", 1, length, keys=length, last=length, graded=graded)
    # which keeps the scores of attention, and does not compute them again
    again = 2 * 32 * 4096 * length**2 if graded else 0
    assert counter.get_total_flops() == pytest.approx(sizes.operations(prompt) - again, rel=1e-3)


def test_a_decode_step_reads_all_weights_and_takes_what_is_longest():
    model = build(LLAVA)
    sizes, of = Sizes.of(model), parameters(model)
    one = Pass("decoder", rows=1, positions=1, keys=600, last=1, held=800)
    kept = 600 * 32 * 2 * 4096
    weights = of.language_model - of.unembedding  # its embedding has as many numbers
    assert sizes.read(one) == pytest.approx(2 * (weights + kept), rel=1e-3)
    assert sizes.operations(one) == pytest.approx(2 * weights + 4 * kept / 2, rel=1e-3)
    assert sizes.held(one) == 800 * 32 * 2 * 4096 * 2
    card = Card("a card", 1e9, operations=1e12, bandwidth=1e12)
    by_bytes, by_launch = Rate(0.5, 0.5, 0.0), Rate(0.5, 0.5, 1.0)
    by_operations = Rate(0.001, 0.5, 0.0)
    assert by_bytes.seconds([one], sizes, card) == sizes.read(one) / 0.5e12
    assert by_launch.seconds([one, one], sizes, card) == 64
    assert by_operations.seconds([one], sizes, card) == sizes.operations(one) / 1e9


def test_what_gradients_keep_is_what_torch_keeps():
    """For a position of a whole layer on the meta device, but for attention's own, which a GPU's
    kernels do not keep."""
    built: Any = build(LLAVA).requires_grad_(False)
    decoder, length = decoder_of(built.to(torch.bfloat16)), 64
    weights = {each.untyped_storage()._cdata for each in decoder.stack.parameters()}
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        on_meta(decoder, length, torch.bfloat16)
    # what attention keeps without a kernel of its own has one axis for heads and no other first
    found = sum(
        tensor.untyped_storage().nbytes()
        for storage, tensor in kept.items()
        if storage not in weights and tensor.shape[:2] == (1, length)
    )
    sizes = Sizes.of(build(LLAVA))
    one = Pass("decoder", rows=1, positions=length, keys=length, last=length, graded=True)
    queries_keys_values_and_mix = 2 * 4 * 4096 * 32 * length
    expected = sizes.activations(one) - queries_keys_values_and_mix
    assert found == pytest.approx(expected, rel=0.02)


def test_a_step_is_scaled_to_the_papers_images_and_to_those_that_are_kept():
    found = counted("table 1, generative", "--kept", "432")
    assert (
        found.times == found.step.total == 432 + 540
    )  # a quarter of those that are named and not kept
    assert found.step.kept == 432
    passes = [Pass("decoder", 1, 1), Pass("encoder", 1, 577), Pass("decoder", 2, 10)]
    made = Counted(Step("any", "image", 30, 30, 3, list), passes, row_bytes=5)
    assert (made.forward_passes, made.pictures, made.decode_steps) == (20, 10, 10)
    assert made.positions == 10 * (1 + 20)


def test_the_whole_is_printed_and_measured_small(capsys, monkeypatch):
    monkeypatch.setattr(rehearsal, "vlm_like", lambda *_, **__: SHALLOW[LLAVA])
    options = ["--models", LLAVA, "--images", "1", "--together", "2", "--measure", "--length", "12"]
    rehearsal.main(options)
    printed = capsys.readouterr().out
    assert "Assumed: candidates 4318, kept 0, named 0.6" in printed
    for step in ("mean token", "filter 2", "table 2, twice", "logit lens", "numbers"):
        assert printed.count(f"| {step}") >= 2  # counted, and beside what was measured
    assert "| measured on cpu | ratio | peak memory, counted | measured |" in printed
    assert "- 24 GB (RTX 4090)" in printed
    assert "in smaller passes: integrated gradients" in printed
    assert "Disk: weights 14.1 GB" in printed


@pytest.mark.slow
def test_the_shipped_model_takes_fewer_steps_in_a_batch():
    found = describing.counts(images=4, rows=4)
    single, joint, both, whole = found.values()
    assert joint >= (single - 4) / 4  # the first token of each comes from its prompt
    assert 2 * joint < single < both
    assert 3 * whole < both

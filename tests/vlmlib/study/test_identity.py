"""Keys of measurements: does each thing that can change a number change its key, and nothing else?

A key that misses something shows old numbers as new ones; a key that holds too much measures for
days again. The second half asks the same of a whole subject: a tiny random model on three shipped
scenes, over a store.
"""

import ast
import functools
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import FunctionType

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import processors

from claims.neo2025 import protocol
from claims.neo2025 import study as measurements
from claims.neo2025.protocol import REFERENCE, TEXT, Said, Text
from claims.neo2025.study import Subject
from fixtures.emoji_coco.scenes import HERE
from tests.tiny import tiny_qwen, tiny_vlm
from vlmlib import VLM, Ablate, VLMError, save_mean, select
from vlmlib.study import identity
from vlmlib.study.coco import LENS, CocoData
from vlmlib.study.identity import (
    JUDGING,
    MEASURING,
    ROOT,
    _meaning,
    code_key,
    design_key,
    file_key,
    model_key,
)
from vlmlib.study.store import Store

FAMILIES = {"llava": tiny_vlm, "qwen": tiny_qwen}
families = pytest.mark.parametrize("make", FAMILIES.values(), ids=FAMILIES)


# The model.


@families
def test_a_model_built_or_used_again_has_the_same_key(make):
    vlm = make()
    key = model_key(vlm)
    vlm.describe(vlm.read(Image.new("RGB", (30, 20)), "Hi?"), [[]], 2)
    vlm.model.requires_grad_(True)
    assert model_key(vlm) == key == model_key(make())
    assert model_key(make(seed=1)) != key


@families
def test_the_lowest_bit_of_any_one_weight_changes_the_key(make):
    vlm = make()
    keys = {model_key(vlm)}
    weights = list(vlm.model.state_dict().values())
    for weight in (weights[0], weights[len(weights) // 2], weights[-1]):
        bits = weight.view(torch.int32).flatten()
        bits[-1] ^= 1
        keys.add(model_key(vlm))
        bits[-1] ^= 1
    assert len(keys) == 4
    assert model_key(vlm) in keys


def zeroed(dtype: torch.dtype) -> VLM:
    vlm = tiny_vlm()
    for weight in vlm.model.parameters():
        weight.data.zero_()
    vlm.model.to(dtype)
    return vlm


def test_the_type_of_the_weights_is_in_the_key_even_if_their_values_and_sizes_are_the_same():
    assert (
        len({model_key(zeroed(dtype)) for dtype in (torch.float32, torch.float16, torch.bfloat16)})
        == 3
    )


def moved(make) -> VLM:
    """Two weights of one shape have changed their places."""
    vlm = make()
    first, second = [
        each
        for name, each in vlm.model.named_parameters()
        if "language_model" in name and "up_proj" in name
    ]
    first.data, second.data = second.data, first.data
    return vlm


class Other(VLM):
    """A model of another class may read or answer otherwise."""


def with_config(make, change) -> VLM:
    vlm = make()
    change(vlm.model.config)
    return vlm


def with_tokenizer(change) -> VLM:
    vlm = tiny_vlm()
    change(vlm.processor.tokenizer)
    return vlm


def with_image_processor(make) -> VLM:
    vlm = make()
    vlm.processor.image_processor.image_mean = [0.5, 0.5, 0.25]
    return vlm


def with_prompt(make) -> VLM:
    vlm = make()
    return VLM(vlm.model, vlm.processor, vlm.prompt + " ")


@families
@pytest.mark.parametrize(
    "other",
    [
        pytest.param(moved, id="weights in other places"),
        pytest.param(with_prompt, id="prompt"),
        pytest.param(lambda make: make("eager"), id="attention"),
        pytest.param(lambda make: Other(make().model, make().processor), id="class"),
        pytest.param(with_image_processor, id="image processor"),
        pytest.param(
            lambda make: with_config(
                make, lambda config: setattr(config.text_config, "rms_norm_eps", 1e-3)
            ),
            id="a value of the language model's configuration",
        ),
        pytest.param(
            lambda make: with_config(
                make, lambda config: setattr(config.vision_config, "hidden_act", "relu")
            ),
            id="a value of the image encoder's configuration",
        ),
        pytest.param(
            lambda make: with_config(
                make, lambda config: config.text_config.rope_parameters.update(rope_theta=2e4)
            ),
            id="a value within a value",
        ),
    ],
)
def test_what_determines_a_models_answers_is_in_its_key(make, other):
    assert model_key(other(make)) != model_key(make())


def renamed(tokenizer) -> None:
    """Two words have changed their ids."""
    words = tokenizer.get_vocab()
    words["▁car"], words["▁book"] = words["▁book"], words["▁car"]
    tokenizer.get_vocab = lambda: words


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda tokenizer: tokenizer.add_tokens(["maybe"]), id="a word more"),
        pytest.param(renamed, id="words with other ids"),
    ],
)
def test_the_tokenizers_vocabulary_is_in_the_key(change):
    assert model_key(with_tokenizer(change)) != model_key(tiny_vlm())


def test_what_the_tokenizer_adds_to_a_text_is_in_the_key():
    def adds_nothing(tokenizer):
        tokenizer.backend_tokenizer.post_processor = processors.Sequence([])

    plain, changed = tiny_vlm(), with_tokenizer(adds_nothing)
    ids = [len(each.read(Image.new("RGB", (30, 20)), "Hi?").input_ids) for each in (plain, changed)]
    assert ids[0] == ids[1] + 1
    assert model_key(changed) != model_key(plain)


def test_where_a_description_ends_is_in_the_key():
    """Only the generation settings know the token that ends a text."""
    plain, changed = tiny_vlm(), tiny_vlm()
    changed.model.generation_config.eos_token_id = [2, 5]
    assert plain._stop_ids() != changed._stop_ids()
    assert model_key(plain) != model_key(changed)


def test_one_checkpoint_has_one_key_wherever_it_lies(tmp_path):
    vlm = tiny_vlm()
    for part in (vlm.model, vlm.processor):
        part.save_pretrained(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there" / "again")
    here, there = (VLM.load(tmp_path / folder) for folder in ("here", "there/again"))
    assert model_key(here) == model_key(VLM.load(tmp_path / "here"))
    assert model_key(here) == model_key(there)


# Designs.


def first_design(scene):
    return {"last row": [Ablate(select.last_row(scene.stimulus), scene.mean)]}


def second_design(scene):
    return {"last row": [Ablate(select.last_row(scene.stimulus), scene.mean * 2)]}


def designing(factor: int):
    def design(scene):
        return {"last row": [Ablate(select.last_row(scene.stimulus), scene.mean * factor)]}

    return design


def with_default(factor: int):
    def design(scene, factor=factor):
        return {"last row": [Ablate(select.last_row(scene.stimulus), scene.mean * factor)]}

    return design


def with_keyword(factor: int):
    def design(scene, *, factor=factor):
        return {"last row": [Ablate(select.last_row(scene.stimulus), scene.mean * factor)]}

    return design


def with_set(scene):
    return (
        {"some": [Ablate([scene.stimulus.last], scene.mean)]} if len(scene.object) in {0, 8} else {}
    )


def in_file(folder: Path, name: str, source: str):
    """A function of this source, from a file of its own."""
    file = folder / f"{name}.py"
    file.write_text(source)
    space: dict = {"__name__": name}
    exec(compile(source, str(file), "exec"), space)
    return space["design"]


def test_a_designs_source_and_name_are_its_key(tmp_path):
    source = "def design(scene):\n    return {'a': [5]}\n"
    design = in_file(tmp_path, "one", source)
    assert design_key(design) == design_key(in_file(tmp_path, "two", "\n\n" + source))
    assert design_key(design) != design_key(in_file(tmp_path, "three", source.replace("5", "6")))
    assert (
        len({design_key(each) for each in (first_design, second_design, measurements.ablations)})
        == 3
    )
    assert design_key(first_design) == design_key(first_design)


def test_lambdas_are_told_apart_by_their_source():
    one = lambda scene: {"a": [scene.mean]}  # noqa: E731
    two = lambda scene: {"a": [scene.mean * 2]}  # noqa: E731
    assert design_key(one) != design_key(two)


def test_lambdas_on_one_line_are_told_apart():
    one, two = (lambda scene: {"a": [scene.mean]}), (lambda scene: {"a": [scene.mean * 2]})
    assert design_key(one) != design_key(two)


@pytest.mark.parametrize(
    "make", [designing, with_default, with_keyword], ids=["closure", "default", "keyword"]
)
def test_designs_of_one_source_that_hold_other_values_are_told_apart(make):
    assert design_key(make(1)) == design_key(make(1))
    assert design_key(make(1)) != design_key(make(2))


def test_the_order_in_which_a_set_lies_in_memory_is_not_in_a_designs_key():
    """For texts it is another in every process: the design would be measured again each time."""
    code, one, other = with_set.__code__, frozenset([0, 8]), frozenset([8, 0])
    assert repr(one) != repr(other)
    consts = [
        tuple(each if const == one else const for const in code.co_consts) for each in (one, other)
    ]
    designs = [FunctionType(code.replace(co_consts=each), globals(), "with_set") for each in consts]
    assert one in code.co_consts
    assert design_key(designs[0]) == design_key(designs[1])


def test_a_design_without_source_is_refused_by_name():
    space: dict = {}
    exec("def design(scene):\n    return {}", space)
    with pytest.raises(VLMError, match=r"'design' cannot be read.*Put it into a file"):
        design_key(space["design"])


@pytest.mark.parametrize(
    "design", [dict, len, functools.partial(first_design)], ids=["class", "function", "partial"]
)
def test_a_design_that_is_built_in_or_no_function_is_refused(design):
    with pytest.raises(VLMError, match="cannot be read"):
        design_key(design)


# Code and files.


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A project of this layout, one line per module, that the key is asked of."""
    for file in [*(ROOT / "vlmlib").glob("*.py"), *(ROOT / name for name in MEASURING)]:
        copy = tmp_path / file.relative_to(ROOT)
        copy.parent.mkdir(exist_ok=True)
        copy.write_text(f'"""What {file.stem} is."""\n\nBOUND = 3\n')
    monkeypatch.setattr(identity, "ROOT", tmp_path)
    return tmp_path


def key_of_code() -> str:
    return code_key.__wrapped__()


@pytest.mark.parametrize("file", ["vlmlib/model.py", "vlmlib/mean.py", *MEASURING])
def test_a_constant_in_code_that_measures_changes_the_key_and_words_about_it_do_not(tree, file):
    key = key_of_code()
    for same in (
        '"""Other words."""\nBOUND = 3',
        "BOUND = 3  # why",
        "BOUND  =  (\n    3\n)",
        "BOUND = 0x3",
    ):
        (tree / file).write_text(same)
        assert key_of_code() == key
    for other in (
        "BOUND = 4",
        "BOUND = 3.0",
        "LIMIT = 3",
        "BOUND = 3\nBOUND = 3",
        "",
        "BOUND = '3'",
    ):
        (tree / file).write_text(other)
        assert key_of_code() != key


def test_a_new_module_of_the_instrument_changes_the_key_and_one_of_the_pytest_side_does_not(tree):
    key = key_of_code()
    (tree / "fixtures" / "pages.py").write_text("BOUND = 4")
    assert key_of_code() == key
    (tree / "vlmlib" / "another.py").write_text("BOUND = 3")
    assert key_of_code() != key


def test_a_library_of_another_version_changes_the_key(tree, monkeypatch):
    key, version = key_of_code(), identity.version
    for library in ("torch", "transformers", "tokenizers", "numpy", "pillow"):
        monkeypatch.setattr(
            identity,
            "version",
            lambda name, library=library: version(name) + "9" * (name == library),
        )
        assert key_of_code() != key
    monkeypatch.setattr(identity, "version", lambda name: version(name))
    assert key_of_code() == key


def behind(*names: str) -> set[str]:
    """The files of the instrument that these modules import, and what those import."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        file = waiting.pop()
        if file not in found:
            found.add(file)
            nodes = ast.walk(ast.parse((ROOT / "vlmlib" / file).read_text()))
            modules = [
                node
                for node in nodes
                if isinstance(node, ast.ImportFrom) and str(node.module).startswith("vlmlib")
            ]
            waiting += [
                f"{node.module.split('.')[1]}.py" for node in modules if "." in str(node.module)
            ]
            waiting += [
                f"{each.name}.py"
                for node in modules
                if node.module == "vlmlib"
                for each in node.names
            ]
    return found


READOUTS = (
    "model.py",
    "tasks.py",
    "lens.py",
    "gradients.py",
    "mean.py",
    "select.py",
    "windows.py",
    "interventions.py",
)


def test_the_code_that_a_measurement_runs_through_is_in_the_key():
    assert "engine.py" in behind(*READOUTS)
    assert behind(*READOUTS) & JUDGING <= {"errors.py"}


def test_the_code_that_only_judges_is_not_in_the_key():
    judging = (
        {file.name for file in (ROOT / "vlmlib").glob("*.py")} - behind(*READOUTS) - {"__init__.py"}
    )
    assert judging - JUDGING == set()


def test_a_file_that_is_named_as_measuring_or_judging_is_there():
    for name in MEASURING:
        assert (ROOT / name).is_file()
    for name in JUDGING:
        assert (ROOT / "vlmlib" / name).is_file()


@pytest.mark.parametrize("file", sorted((ROOT / "vlmlib").glob("*.py")), ids=lambda file: file.name)
def test_the_meaning_of_code_is_the_same_once_comments_and_layout_are_gone(file):
    source = file.read_text()
    assert _meaning(ast.unparse(ast.parse(source))) == _meaning(source)
    assert ast.get_docstring(ast.parse(source)).splitlines()[0] not in _meaning(source)


def test_the_meaning_of_code_keeps_texts_that_are_no_docstrings_and_every_docstring_goes():
    bare = "class A:\n    def f(self):\n        return 'x'\n"
    told = '"""M."""\nclass A:\n    """C."""\n\n    def f(self):\n        """F."""\n        # why\n        return "x"\n'
    assert _meaning(told) == _meaning(bare)
    assert _meaning(bare) != _meaning(bare.replace("'x'", "'y'"))
    assert _meaning("a = 1\n'text'") != _meaning("a = 1\n'other'")


def test_a_files_bytes_are_its_key_and_a_missing_one_is_named(tmp_path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    assert file_key(tmp_path / "a") == file_key(tmp_path / "b") != file_key(tmp_path / "c")
    with pytest.raises(VLMError, match=r"nothing'.*cannot be read"):
        file_key(tmp_path / "nothing")


# A subject over a store.


class Planted(Text):
    """Right on every image that is not all black, unless an arm ablates 5 tokens or more: what that
    takes to answer is the model's own work. Painting out makes an image black."""

    name = "planted"

    def painted_out(self, image, mask, generator):
        return Image.new("RGB", image.size)

    def ask(self, vlm, question, stimulus, arms) -> list[Said]:
        said = super().ask(vlm, question, stimulus, arms)
        shows = len(stimulus.inputs["pixel_values"].unique()) > 3  # black is one value per channel
        lost = [
            sum(len(each.tokens) for each in arm if isinstance(each, Ablate)) >= 5 for arm in arms
        ]
        return [
            replace(each, right=shows and not gone) for each, gone in zip(said, lost, strict=True)
        ]


class OtherPlanted(Planted):
    name = "other"


def design(scene):
    rows = {
        "last row": select.last_row(scene.stimulus),
        "everything": scene.stimulus.visual,
        "object": scene.object,
    }
    return {name: [Ablate(tokens, scene.mean)] for name, tokens in rows.items()} | {
        "random 3": [Ablate(scene.random("random 3", 3), scene.mean)]
    }


def other_design(scene):
    return {"nothing": []}


@pytest.fixture
def few(monkeypatch) -> None:
    monkeypatch.setattr(measurements, "MEAN_IMAGES", 3)
    monkeypatch.setattr(protocol, "MAX_NEW_TOKENS", 2)


@pytest.fixture(scope="module")
def data() -> tuple[CocoData, CocoData]:
    return CocoData(HERE, limit=3), CocoData(HERE, limit=3, purpose=LENS)


@pytest.fixture
def store(tmp_path) -> Iterator[Store]:
    with closing(Store(tmp_path / "store")) as store:
        yield store


class Counted:
    """A subject over a store, and how often its model ran."""

    def __init__(self, data, store, protocol: Text = TEXT, make=tiny_vlm, **more):
        self.subject = Subject("tiny", make(), *data, store, protocol, **more)
        self.calls = 0
        stack = self.subject.vlm.decoder.stack
        stack.register_forward_pre_hook(self._count, with_kwargs=True, prepend=True)

    def _count(self, *_) -> None:
        self.calls += 1


def units(store: Store) -> int:
    return store.database.execute("SELECT count(*) FROM units").fetchone()[0]


def rows_of(table) -> list[tuple]:
    return [tuple(map(str, row)) for row in table.rows.itertuples(index=False, name=None)]


@pytest.mark.usefixtures("few")
@families
def test_what_is_asked_twice_runs_no_model_the_second_time(make, data, store):
    tables, lenses, calls = [], [], []
    for _ in range(2):
        counted = Counted(data, store, Planted(), make)
        tables.append(
            counted.subject.measure(("generative", "polling", "VQA"), design, attributed=True)
        )
        lenses.append(counted.subject.lens)
        assert counted.subject.numbers is counted.subject.numbers
        calls.append(counted.calls)
    assert calls[0] > 50
    assert calls[1] == 0
    assert rows_of(tables[0]) == rows_of(tables[1])
    assert tables[0].images == tables[1].images
    assert np.array_equal(lenses[0].auc, lenses[1].auc)
    assert len(lenses[0].best) == 3


@pytest.mark.usefixtures("few")
def test_a_table_holds_what_every_arm_did_on_every_image_with_a_question(data, store):
    examples, _ = data
    subject = Counted(data, store, Planted()).subject
    table = subject.measure(("polling", "VQA"), design)
    asked = [each.image_id for each in examples.examples if each.questions]
    assert table.images == {
        "polling": {"filter 1": 3, "filter 2": 3, "asked": 3, "counted": 3},
        "VQA": {"filter 1": 3, "filter 2": 3, "asked": len(asked), "counted": len(asked)},
    }
    tokens = {"clean": 0, "last row": 4, "everything": 16, "random 3": 3}
    for image, example in subject._examples.items():
        count = len(subject.vlm.read(example.image, "").tokens_of(example.mask))
        rows = table.rows[(table.rows.image == image) & (table.rows.task == "polling")]
        assert dict(zip(rows.arm, rows.tokens, strict=True)) == tokens | {"object": count}
        assert dict(zip(rows.arm, rows.right, strict=True)) == {
            arm: k < 5 for arm, k in (tokens | {"object": count}).items()
        }
    assert table.lost("polling", "everything").tolist() == [True] * 3
    assert table.lost("VQA", "last row").tolist() == [False] * len(asked)


@pytest.mark.usefixtures("few")
def test_an_image_that_is_right_without_its_object_or_wrong_with_it_is_not_kept(data, store):
    class Blind(Planted):
        def painted_out(self, image, mask, generator):
            return image

    class Wrong(Planted):
        def ask(self, vlm, question, stimulus, arms):
            return [
                replace(each, right=False) for each in super().ask(vlm, question, stimulus, arms)
            ]

    for name, kind in (("blind", Blind), ("wrong", Wrong)):
        kind.name = name
        table = Counted(data, store, kind()).subject.measure(("polling",), design)
        assert table.images["polling"] == {"filter 1": 3, "filter 2": 0, "asked": 0, "counted": 0}
        assert len(table.rows) == 0


@pytest.mark.usefixtures("few")
def test_runs_stop_at_as_many_images_as_the_protocol_says(data, store):
    class Short(Planted):
        name = "short"
        most_images = 2

    table = Counted(data, store, Short()).subject.measure(("polling",), design)
    assert sorted(set(table.rows.image)) == sorted(each.image_id for each in data[0].examples)[:2]


@pytest.mark.usefixtures("few")
def test_other_designs_tasks_protocols_seeds_models_and_means_are_measured_anew(
    data, store, tmp_path, monkeypatch
):
    def measured(tasks=("polling",), design=design, protocol: Text | None = None, **more) -> int:
        """How many units that made."""
        before = units(store)
        Counted(data, store, protocol or Planted(), **more).subject.measure(tasks, design)
        return units(store) - before

    assert measured() == 6  # three images: filter 2, and the arms
    assert measured() == 0
    assert measured(design=other_design) == 3
    assert measured(tasks=("generative", "polling")) == 3
    assert measured(protocol=OtherPlanted()) == 6
    assert measured(make=lambda: tiny_vlm(seed=1)) == 6
    for name, value in (("one", 1.0), ("two", 2.0)):
        save_mean(tmp_path / f"{name}.safetensors", torch.full((16,), value), model="tiny")
        assert measured(mean_file=tmp_path / f"{name}.safetensors") == 6
    monkeypatch.setattr(measurements, "SEED", 1)
    assert measured() == 6
    assert measured(design=other_design) == 3


@pytest.mark.usefixtures("few")
def test_an_image_whose_file_target_or_question_is_another_is_measured_anew(data, store, tmp_path):
    examples, lens = data
    subject = Counted(data, store, Planted()).subject
    subject.measure(("polling",), design)
    first, second, third = examples.examples
    redrawn = tmp_path / "redrawn.png"
    first.image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(redrawn)
    shifted = np.roll(second.mask, 1, 1)
    changed = [
        replace(first, path=redrawn),
        replace(second, mask=shifted),
        replace(second, polygons=((0.0, 0.0, 9.0, 0.0, 9.0, 9.0),)),
        replace(third, category="dog" if third.category != "dog" else "car"),
        replace(third, questions=("What is it?",)),
    ]
    for example in changed:
        before = units(store)
        again = Counted((examples, lens), store, Planted()).subject
        again._examples = {example.image_id: example}
        again.measure(("polling",), design)
        assert units(store) == before + 2  # filter 2, and the arms


@pytest.mark.usefixtures("few")
def test_an_image_under_another_id_which_seeds_its_draws_is_measured_anew(data, store):
    first = data[0].examples[0]
    subject = Counted(data, store, Planted()).subject
    subject._examples = {first.image_id: first, 9999: replace(first, image_id=9999)}
    table = subject.measure(("polling",), design)
    assert sorted(set(table.rows.image)) == [first.image_id, 9999]
    assert units(store) == 4


def test_the_text_and_the_reference_have_other_identities(data, store):
    text, reference = (
        Subject("tiny", tiny_vlm(), *data, store, each) for each in (TEXT, REFERENCE)
    )
    assert text.identity != reference.identity
    assert text.identity == Subject("another name", tiny_vlm(), *data, store, TEXT).identity
    assert (text.label, reference.label) == ("tiny", "tiny, reference")


@pytest.mark.usefixtures("few")
def test_the_mean_is_computed_once_over_images_outside_the_filter_and_read_from_its_file_after_that(
    data, store, monkeypatch
):
    computed = []

    def counted(vlm, images):
        computed.append(list(images))
        return measurements_mean(vlm, computed[-1])

    measurements_mean = measurements.mean_embedding
    monkeypatch.setattr(measurements, "mean_embedding", counted)
    first, again = (Subject("tiny", tiny_vlm(), *data, store).mean for _ in range(2))
    assert torch.equal(first, again)
    assert [len(each) for each in computed] == [3]
    vlm = tiny_vlm()
    stimuli = [vlm.read(Image.open(path), "") for path in data[0].others[:3]]
    torch.testing.assert_close(
        first, torch.cat([each.embeddings[each.visual] for each in stimuli]).mean(0)
    )
    assert not {each.path for each in data[0].examples} & set(data[0].others[:3])


@pytest.mark.usefixtures("few")
def test_a_damaged_mean_file_is_named_and_a_lost_one_is_made_again(data, store):
    mean = Subject("tiny", tiny_vlm(), *data, store).mean.clone()  # the file lies under it
    [file] = store.path.parent.glob("mean-*.safetensors")
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(VLMError, match=file.name):
        _ = Subject("tiny", tiny_vlm(), *data, store).mean
    file.unlink()
    assert torch.equal(Subject("tiny", tiny_vlm(), *data, store).mean, mean)


def test_a_mean_file_of_ones_own_is_taken_as_it_is(data, store, tmp_path):
    mine = torch.linspace(0, 1, 16)
    save_mean(tmp_path / "mine.safetensors", mine, model="tiny")
    subject = Subject("tiny", tiny_vlm(), *data, store, mean_file=tmp_path / "mine.safetensors")
    assert torch.equal(subject.mean, mine)
    assert not list(store.path.parent.glob("mean-*"))


def test_a_subject_knows_its_tokens_and_where_its_sliding_windows_stand(data, store):
    subject = Subject("tiny", tiny_vlm(), *data, store)
    assert subject.visual_tokens == 16
    assert subject.sliding_places == {"L1-1": 0.25, "L2-2": 0.75}

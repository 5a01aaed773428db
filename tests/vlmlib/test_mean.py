"""The mean embedding: is it the mean over all visual tokens, of any source of images, and does its
file come back?

Fails if images are weighted otherwise, a broken picture is passed over, a file is left half
written, or something else than one vector is taken from a file.
"""

import errno
import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.tiny import picture, tiny_qwen
from vlmlib import VLM, ImageError, VLMError, mean_embedding
from vlmlib.mean import load_mean, made_from, publish_mean, save_mean


@pytest.fixture
def folder(tmp_path):
    """Three pictures in two folders and in three formats, beside files that are none."""
    (tmp_path / "b" / "c").mkdir(parents=True)
    picture(0).save(tmp_path / "b" / "z.png")
    picture(1).save(tmp_path / "b" / "c" / "a.BMP")
    picture(2).save(tmp_path / "a.JPEG")
    (tmp_path / "labels.txt").write_text("no picture")
    (tmp_path / "folder.png").mkdir()
    return tmp_path


def visual_tokens(vlm, images) -> list[torch.Tensor]:
    stimuli = [vlm.read(image, "Hi?") for image in images]
    return [stimulus.embeddings[stimulus.visual] for stimulus in stimuli]


def test_it_is_the_mean_over_all_visual_tokens_of_all_images(vlm):
    images = [picture(seed) for seed in range(3)]
    expected = torch.cat(visual_tokens(vlm, images)).mean(0)
    torch.testing.assert_close(mean_embedding(vlm, iter(images)), expected, rtol=1e-5, atol=1e-6)


def test_an_image_of_more_tokens_weighs_more():
    vlm = tiny_qwen()
    rows = visual_tokens(vlm, images := [picture(0, (16, 16)), picture(1, (48, 40))])
    assert [len(each) for each in rows] == [4, 30]
    expected = (rows[0].sum(0) + rows[1].sum(0)) / 34
    torch.testing.assert_close(mean_embedding(vlm, images), expected, rtol=1e-5, atol=1e-6)


def test_the_mean_of_one_image_leaves_its_own_mean_in_place(vlm, stimulus):
    mean = mean_embedding(vlm, [picture()])
    torch.testing.assert_close(
        mean, stimulus.embeddings[stimulus.visual].mean(0), rtol=1e-5, atol=1e-6
    )


def test_the_mean_of_no_image_is_an_error(vlm):
    with pytest.raises(VLMError, match="no image"):
        mean_embedding(vlm, [])


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_a_folder_is_every_picture_under_it(vlm, folder, kind):
    images = [Image.open(folder / name) for name in ("a.JPEG", "b/c/a.BMP", "b/z.png")]
    assert torch.equal(mean_embedding(vlm, kind(folder)), mean_embedding(vlm, images))


def test_a_folder_holds_one_picture_open_at_a_time(vlm, folder, monkeypatch):
    opened, really_open = [], Image.open
    monkeypatch.setattr(
        Image, "open", lambda path, **_: opened.append(really_open(path)) or opened[-1]
    )
    really_read, files_at_hand = vlm.read, []

    def read(image, question):
        files_at_hand.append(
            [each.fp for each in opened if each.fp is not None and not each.fp.closed]
        )
        return really_read(image, question)

    monkeypatch.setattr(vlm, "read", read)
    mean_embedding(vlm, folder)
    assert [os.path.basename(each.filename) for each in opened] == [
        "a.JPEG",
        "a.BMP",
        "z.png",
    ] * 2  # headers, then pixels
    assert files_at_hand == [[], [], []]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("name", ["a.JPEG", "b/z.png", "b/c/a.BMP"])
def test_a_truncated_picture_is_named(vlm, folder, name, share):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: int(len(content) * share)])
    with pytest.raises(
        VLMError, match=rf"The picture '.*{name}' cannot be read: .*take it out of the folder"
    ):
        mean_embedding(vlm, folder)


def test_a_file_that_only_claims_to_be_a_picture_is_named(vlm, folder):
    (folder / "claims.jpg").write_text("I am a picture")
    with pytest.raises(VLMError, match=r"The picture '.*claims\.jpg' cannot be read"):
        mean_embedding(vlm, folder)


def test_a_folder_without_pictures_and_no_folder_are_refused(vlm, tmp_path):
    (tmp_path / "labels.txt").write_text("no picture")
    with pytest.raises(VLMError, match="which is a folder without pictures"):
        mean_embedding(vlm, tmp_path)
    for path in (tmp_path / "absent", tmp_path / "labels.txt"):
        with pytest.raises(VLMError, match="which is no folder"):
            mean_embedding(vlm, path)


def test_a_bar_knows_how_many_images_there_are_where_that_can_be_known(vlm, folder, monkeypatch):
    totals = []

    def bar(images, **_kwargs):
        totals.append(len(images) if hasattr(images, "__len__") else None)
        return images

    monkeypatch.setattr("vlmlib.mean.tqdm", bar)
    for images in (folder, [picture()] * 2, iter([picture()])):
        mean_embedding(vlm, images)
    assert totals == [3, 2, None]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_saved_mean_comes_back_bit_for_bit_with_what_it_was_made_from(tmp_path, dtype):
    mean = torch.randn(16, generator=torch.Generator().manual_seed(0)).to(dtype)
    save_mean(
        tmp_path / "mean.safetensors", mean, model="a/b", images="noise, seeds 0 to 4", count=5
    )
    back = load_mean(str(tmp_path / "mean.safetensors"))
    assert back.dtype == dtype
    assert torch.equal(back, mean)
    assert made_from(tmp_path / "mean.safetensors") == {
        "model": "a/b",
        "images": "noise, seeds 0 to 4",
        "count": "5",
    }


def test_saving_again_replaces_the_file_and_leaves_nothing_beside_it(tmp_path):
    path = tmp_path / "mean.safetensors"
    for value in (1.0, 2.0):
        save_mean(path, torch.full((4,), value), images="noise")
    assert load_mean(path).tolist() == [2.0] * 4
    assert made_from(path) == {"images": "noise"}
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [OSError("no space left"), KeyboardInterrupt()])
@pytest.mark.parametrize("step", ["write_bytes", "replace"])
def test_an_interrupted_save_leaves_what_was_there_and_nothing_else(
    tmp_path, monkeypatch, step, error
):
    path = tmp_path / "mean.safetensors"
    save_mean(path, torch.zeros(4), model="first")
    really = getattr(type(path), step)

    def half(self, content):
        if step == "write_bytes":
            really(self, content[: len(content) // 2])
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(type(path), step, half)
        with pytest.raises(VLMError if isinstance(error, OSError) else KeyboardInterrupt):
            save_mean(path, torch.ones(4), model="second")
    assert (load_mean(path).tolist(), made_from(path)) == ([0.0] * 4, {"model": "first"})
    assert list(tmp_path.iterdir()) == [path]


def test_what_cannot_be_saved_is_refused(tmp_path):
    with pytest.raises(VLMError, match=r"mean\.pt.*suffix \.safetensors"):
        save_mean(tmp_path / "mean.pt", torch.zeros(4), images="noise")
    with pytest.raises(VLMError, match=r"is a Tensor \[2, 4\] of torch\.float32"):
        save_mean(tmp_path / "mean.safetensors", torch.zeros(2, 4), images="noise")
    with pytest.raises(VLMError, match="could not be written"):
        save_mean(tmp_path / "absent" / "mean.safetensors", torch.zeros(4), images="noise")
    assert list(tmp_path.iterdir()) == []


def test_a_plain_tensor_of_torch_is_a_mean_too_and_nothing_is_known_of_it(tmp_path):
    mean = torch.arange(4.0)
    for name, tensor in {
        "row": mean,
        "rows": mean[None],
        "weight": torch.nn.Parameter(mean),
    }.items():
        torch.save(tensor, tmp_path / f"{name}.pt")
        back = load_mean(tmp_path / f"{name}.pt")
        assert back.tolist() == [0.0, 1.0, 2.0, 3.0]
        assert not back.requires_grad
    with pytest.raises(VLMError, match="could not be read"):
        made_from(tmp_path / "row.pt")


def test_a_foreign_safetensors_file_of_one_row_is_a_mean_too(tmp_path):
    save_file({"embedding": torch.ones(1, 4)}, tmp_path / "foreign.safetensors")
    assert load_mean(tmp_path / "foreign.safetensors").tolist() == [1.0] * 4
    assert made_from(tmp_path / "foreign.safetensors") == {}


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (torch.zeros(2, 4), r"Tensor \[2, 4\] of torch\.float32"),
        (torch.zeros(1, 1, 4), r"Tensor \[1, 1, 4\] of torch\.float32"),
        (torch.zeros(()), r"Tensor \[\] of torch\.float32"),
        (torch.zeros(0), r"Tensor \[0\] of torch\.float32"),
        (torch.zeros(4, dtype=torch.int64), r"Tensor \[4\] of torch\.int64"),
        ({"mean": torch.zeros(4)}, "dict"),
        ([0.0, 0.0], "list"),
    ],
)
def test_a_file_of_anything_else_is_refused_with_what_it_holds(tmp_path, content, found):
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(
        VLMError, match=rf"one tensor \[d_model\].*other\.pt' is a {found}\. Make one with"
    ):
        load_mean(tmp_path / "other.pt")


def test_a_safetensors_file_of_several_tensors_is_refused(tmp_path):
    save_file({"a": torch.zeros(4), "b": torch.zeros(4)}, tmp_path / "two.safetensors")
    with pytest.raises(VLMError, match=r"two\.safetensors' is a dict"):
        load_mean(tmp_path / "two.safetensors")


class Malicious:
    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_a_file_that_would_run_code_is_refused_and_does_not_run_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(Malicious(), "malicious.pt")
    with pytest.raises(VLMError, match=r"malicious\.pt' could not be read as a mean embedding: .+"):
        load_mean("malicious.pt")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("share", [None, 0.0, 0.5])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_an_absent_or_truncated_file_is_refused(tmp_path, suffix, share):
    path = tmp_path / f"mean{suffix}"
    if share is not None:
        torch.save(torch.zeros(400), path) if suffix == ".pt" else save_mean(
            path, torch.zeros(400), images="noise"
        )
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    for function in (load_mean, made_from):
        with pytest.raises(
            VLMError, match=rf"mean\{suffix}' could not be read as a mean embedding: .+\. Pass a"
        ):
            function(path)


def test_a_mean_without_its_origin_is_not_saved(tmp_path):
    with pytest.raises(VLMError, match="not told what the mean was made from"):
        save_mean(tmp_path / "mean.safetensors", torch.zeros(4))
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_picture_is_found_before_any_image_is_read(vlm, tmp_path, monkeypatch):
    picture().save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no picture")
    monkeypatch.setattr(type(vlm), "read", lambda *_: pytest.fail("an image was read"))
    with pytest.raises(VLMError, match=r"b\.png' cannot be read"):
        mean_embedding(vlm, tmp_path)


@pytest.fixture
def refusing(vlm, monkeypatch):
    """Makes the model refuse images of this width."""
    read = VLM.read

    def refuse(self, image, *more):
        if image.width == 20:
            raise ImageError("An image of 20 x 16 is too thin.")
        return read(self, image, *more)

    monkeypatch.setattr(VLM, "read", refuse)
    return vlm


def test_an_image_that_is_refused_is_left_out_and_said(refusing, capsys):
    good, bad = [picture(0), picture(1)], picture(2, (20, 16))
    assert torch.equal(
        mean_embedding(refusing, [good[0], bad, good[1]]), mean_embedding(refusing, good)
    )
    assert "1 of 3 images of the mean token are left out, the first: An image" in (
        capsys.readouterr().err
    )


@pytest.mark.parametrize(("good", "bad"), [(0, 1), (3, 2), (197, 3)])
def test_too_many_that_are_refused_are_an_error(refusing, good, bad):
    images = [picture(0)] * good + [picture(2, (20, 16))] * bad
    with pytest.raises(VLMError, match=rf"{bad} of {good + bad} images of the .* At most 1% may"):
        mean_embedding(refusing, images)


@pytest.mark.parametrize("links", [True, False], ids=["links", "no links"])
def test_the_first_mean_that_is_published_is_everybodys(tmp_path, monkeypatch, links):
    """Also where the file system knows no hard links; nothing else is left behind."""

    def refused(*_):
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "mean.safetensors"
    found = [publish_mean(path, torch.full([4], float(x)), of=x) for x in (1, 2, 3)]
    assert [each.tolist() for each in found] == [[1.0] * 4] * 3
    assert made_from(path) == {"of": "1"}
    assert [each.name for each in tmp_path.iterdir()] == [path.name]


def test_processes_that_publish_at_once_read_one_mean(tmp_path):
    path = tmp_path / "mean.safetensors"
    with ThreadPoolExecutor(8) as pool:
        means = list(
            pool.map(lambda x: publish_mean(path, torch.full([4], x), of=x), map(float, range(64)))
        )
    assert len({each[0].item() for each in means}) == 1
    assert len(list(tmp_path.iterdir())) == 1

"""The report on a model, and `python -m vlmlib`.

Fails if a planted fault is not seen in it, if something is refused on a model that has all, or if a
text from outside moves a terminal's cursor.
"""

import re
import runpy
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from benchmarks.models import PAGE, rows_in, written
from tests.families import FAMILIES
from tests.house import ROOT
from tests.texts import tiny_gemma3, tiny_paligemma2
from tests.tiny import picture, tiny_processor, tiny_qwen, tiny_vlm
from vlmlib import VLM, Block, VLMError, VLMWarning
from vlmlib.__main__ import main
from vlmlib.findings import findings
from vlmlib.head import Head
from vlmlib.report import Finding, Report, first_sentence

EMOJI_LLAVA = str(ROOT / "fixtures" / "emoji_llava")


def outcomes(vlm: VLM) -> dict[str, str]:
    """What is not as on a plain model."""
    return {each.what: each.outcome for each in findings(vlm) if each.outcome != "found"}


@pytest.mark.slow
@pytest.mark.parametrize("make", [tiny_vlm, tiny_qwen])
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_nothing_is_refused_on_a_plain_model(make, attention):
    report = make(attention).report()
    assert (report.refused, report.wrong) == ([], [])
    assert report["clean run"].found == "bit for bit the model's own"
    assert report["causality"].found == "no position sees a later one"
    assert report["sharing"].found.startswith("arms share work")
    told = {"put back", "sharing", "lens"}
    assert {each.what for each in report.findings if each.off is not None} == told
    assert all((report[each].off or 0) < 1e-5 for each in told)
    lines = str(report).splitlines()
    assert len(lines) < 35
    assert max(map(len, lines)) <= 100
    assert (lines[0], lines[-1]) == (report.model, "Nothing is refused.")


def test_half_precision_is_not_taken_for_a_fault():
    vlm = tiny_vlm()
    report = VLM(vlm.model.bfloat16(), tiny_processor()).report()
    assert (report.refused, report.wrong) == ([], [])
    assert ", bfloat16 on cpu, " in report["model"].found


def test_the_parts_and_the_grids_are_named():
    report = tiny_qwen().report()
    assert report["language model"].found.startswith("model.language_model (Qwen2VLTextModel): ")
    assert report["head"].found == "final norm model.language_model.norm, unembedding lm_head"
    assert report["views"].found == "4 x 7 (60 x 40 pixels), 7 x 4 (40 x 60 pixels)"
    assert report["visual tokens"].found == "28"
    windowed = tiny_qwen(window=30).report()["attention"].found
    assert windowed.endswith("windows of 30 positions in some")


def test_visual_tokens_that_come_to_lie_elsewhere_have_no_places():
    """Measured when the report is asked for, and not when the model was wrapped."""
    vlm = tiny_vlm()
    projector = vlm.model.model.multi_modal_projector
    projector.register_forward_hook(lambda _module, _args, output: output.flip(-2))
    assert outcomes(vlm) == {"places": "refused"}
    assert "other visual tokens move" in vlm.report()["places"].found
    assert str(vlm.report()).splitlines()[-1] == "Refused: places."


def test_placeholders_that_show_nothing_are_counted():
    model, processor = tiny_vlm().model, tiny_processor()

    def ended(_module, _args, output: Tensor) -> Tensor:
        output = output.clone()
        output[..., 3::4, :] = 1.0
        return output

    model.model.multi_modal_projector.register_forward_hook(ended)
    vlm = VLM(model, processor)
    report = vlm.report()
    assert report["visual tokens"].found == "12 of 16 placeholders"
    assert report["views"].found == "not known"
    assert outcomes(vlm) == {"places": "refused"}


def test_a_model_that_cannot_generate_is_refused_descriptions():
    vlm = tiny_vlm()
    stimulus = vlm.read(picture(), "Hi?")
    assert vlm.report()["description"].outcome == "found"
    vlm = VLM(vlm.model, vlm.processor)

    def generate(**_):
        raise ValueError("this model has no cache")

    vlm.model.generate = generate  # pyright: ignore
    told = "by its own generate failed .ValueError: this model has no cache"
    for describe in (lambda: vlm.describe(stimulus, [[]]), lambda: vlm.describe_each([stimulus])):
        with pytest.raises(VLMError, match=told):
            describe()
    assert outcomes(vlm) == {"description": "refused"}


def test_positions_that_see_later_ones_are_found():
    """Of the picture alone, or of the whole prompt; and arms run one by one for that reason, which
    was a warning once."""
    for make, seen in (
        (tiny_gemma3, "earlier positions see the last visual token"),
        (tiny_paligemma2, "earlier positions see the last visual token and the last prompt token"),
    ):
        with pytest.warns(VLMWarning, match="cannot share work"):
            vlm = make()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            report = vlm.report()
        assert report["causality"].found == seen
        reason = "positions attend to others than all earlier ones in layer 0"
        assert vlm.unshared == reason
        assert report["sharing"].found == f"one pass for each arm, since {reason}"
        assert report.wrong == []


def test_a_picture_that_leaks_past_its_tokens_is_found():
    model, processor = tiny_vlm().model, tiny_processor()
    seen: list[Tensor] = []

    def look(_module, _args, output: Tensor) -> None:
        seen[:] = [output.reshape(-1, 16).mean(0)]

    def leak(_module, args):
        return (args[0] + 0.3 * seen[0], *args[1:])

    model.model.multi_modal_projector.register_forward_hook(look)
    model.model.language_model.layers[1].register_forward_pre_hook(leak)
    with pytest.warns(VLMWarning, match="cannot share work"):
        report = VLM(model, processor).report()
    assert report["blindness"].outcome == "refused"
    assert "sees the picture past its visual tokens" in report["blindness"].found
    assert report["later features"].found == "more of the picture is added before layers 1"
    assert report["description"].outcome == report["lens"].outcome == "found"
    assert report["gradients"].outcome == "refused"


def test_layers_without_attention_and_closed_ones_are_told():
    vlm = tiny_vlm()
    attentions = [None, vlm.decoder.attentions[1]]
    vlm.decoder = replace(vlm.decoder, attentions=attentions, closed={0: "it moves"})
    report = vlm.report()
    assert report["attention"].found.startswith("in 1 of 2 layers (1) (layer 1: ")
    assert report["knockout"].outcome == "refused"
    assert "in layer 0, which has no self-attention; edges can be" in report["knockout"].found
    assert report["put back"] == Finding("put back", "at layers 0 (0: it moves)", "refused")


def test_logits_that_are_not_the_models_own_are_called_wrong(monkeypatch):
    vlm, own = tiny_vlm(), VLM.next_token
    monkeypatch.setattr(VLM, "next_token", lambda *arguments: 1.01 * own(*arguments))
    wrong = ["clean run", "put back", "sharing"]
    assert outcomes(vlm) == dict.fromkeys(wrong, "wrong")
    assert str(vlm.report()).splitlines()[-1] == f"WRONG: {', '.join(wrong)}."


def test_logits_that_are_rounded_otherwise_are_told(monkeypatch):
    vlm, own = tiny_vlm(), VLM.next_token
    monkeypatch.setattr(VLM, "next_token", lambda *arguments: (1 + 1e-6) * own(*arguments))
    assert vlm.report()["clean run"].found == "the model's own but for rounding"
    assert outcomes(vlm) == {}


def test_blocks_that_do_nothing_are_called_wrong(monkeypatch):
    vlm, own = tiny_vlm(), VLM.next_token

    def unblocked(self, stimulus, arms):
        kept = [[each for each in arm if not isinstance(each, Block)] for arm in arms]
        return own(self, stimulus, kept)

    monkeypatch.setattr(VLM, "next_token", unblocked)
    assert outcomes(vlm) == {"sharing": "wrong", "knockout": "wrong"}


def test_a_lens_and_a_description_that_err_are_called_wrong(monkeypatch):
    vlm = tiny_vlm()
    vlm.head = Head(lambda normed: 2 * vlm.decoder.unembed(normed))
    monkeypatch.setattr(VLM, "describe", lambda *_: ["x"])
    assert outcomes(vlm) == {"lens": "wrong", "description": "wrong"}
    vlm.head = replace(vlm.head, refusal="it is planted")
    assert "(it is planted)" in vlm.report()["lens"].found


def test_what_is_refused_gives_its_first_sentence():
    vlm = tiny_vlm()
    vlm.injects = [1]
    vlm.model.generation_config.repetition_penalty = 1.5  # pyright: ignore
    report = vlm.report()
    assert [each.what for each in report.refused] == ["description", "gradients"]
    assert report["description"].found.endswith("which greedy description does not apply")
    assert first_sentence("It fails (No. Two). Try.") == "It fails (No. Two)"
    assert first_sentence("rate 0.5 of ids 3. and all") == "rate 0.5 of ids 3. and all"


def test_text_from_outside_moves_no_cursor():
    report = Report("a\x1b[2J\nb", [Finding("prompt", "c\x07\r\td " * 40)])
    assert re.search(r"[^\n\x20-\x7e\ufffd]", str(report)) is None
    assert len(str(report).splitlines()) == 5


def test_anything_else_is_no_finding(monkeypatch):
    vlm = tiny_vlm()
    monkeypatch.setattr(VLM, "describe", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        vlm.report()


@pytest.mark.slow
def test_the_command_reports_on_the_shipped_model(capsys):
    assert main([EMOJI_LLAVA]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("LlavaForConditionalGeneration\n")
    assert "\n  views           12 x 12\n" in printed
    assert printed.endswith("\nNothing is refused.\n")


@pytest.mark.parametrize(
    ("arguments", "status", "told"),
    [
        (["no/model/\x1b[2J"], 1, "There is no folder 'no/model/"),
        ([EMOJI_LLAVA, "--dtype", "int8"], 1, "Weights cannot be loaded as 'int8'"),
        ([EMOJI_LLAVA, "--device", "tpu"], 1, "There is no device 'tpu'"),
        ([EMOJI_LLAVA, "--revision", "v1"], 1, "which has no revision 'v1'"),
        ([], 2, "the following arguments are required: MODEL"),
    ],
)
def test_the_command_ends_with_one_message(arguments, status, told, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["vlmlib", *arguments])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / "vlmlib" / "__main__.py"), run_name="__main__")
    out, said = capsys.readouterr()
    assert (ended.value.code, out) == (status, "")
    assert told in said
    assert "Traceback" not in said
    assert "\x1b" not in said
    assert status == 2 or said.count("\n") == 1


def test_the_page_has_a_row_for_every_family():
    """In their order; and none of them is wrong."""
    page = Path(PAGE).read_text()
    rows = rows_in(page)
    assert [*rows] == [family.name for family in FAMILIES]
    assert written(page, [*rows.values()]) == page
    assert "WRONG" not in page
    assert written(page, ["| a | b |"]).endswith(" |\n| a | b |\n")

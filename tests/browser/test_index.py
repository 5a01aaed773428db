"""index.html in a browser: does it open quietly, and can it be used?

Fails if the page says anything in the console or asks for anything, if a filter shows what it
should not or forgets it in the address, if something cannot be done by keyboard, if it is wider
than a telephone, or if axe finds a serious violation in light or dark.
"""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from matplotlib.figure import Figure as Drawing
from pandas import DataFrame

from claimlib import Figure, Subject, Totals, exceeds
from claimlib.page.index import index
from claimlib.verdicts import in_every_setting
from tests.browser.conftest import NONE, Noise, chromium, heard
from tests.claimlib.foreign import entry
from tests.claimlib.page.reports import case, claims, told

pytestmark = pytest.mark.browser
SERIOUS = {"serious", "critical"}
HERE, TOY = Subject("here, long ago"), Subject("small", toy=True, note="It is small.")
# Eight red points on a side.
RED = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEUlEQVR42mM4oaGBFTEM"
    "LQkAgl1GARdiiXUAAAAASUVORK5CYII="
)


def drawn() -> Figure:
    drawing = Drawing(figsize=(4, 2))
    drawing.subplots().bar(["heads", "tails"], [7, 3])
    numbers = DataFrame({"side": ["heads", "tails"], "n": [7, 3]})
    return Figure.drawn(drawing, "Sides", "Seven heads and three tails.", numbers)


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of five verdicts on three claims, one of which was not run."""
    folder = tmp_path_factory.mktemp("report")
    known = claims(folder, entry("bent"), entry("spun"), entry("edge", section="abstract"))
    parts = {"first": exceeds(Totals(90, 100), 0.5), "second": exceeds(Totals(52, 100), 0.5)}
    cases = [case(str(at), at % 2 == 0, picture=RED) for at in range(30)]
    document, shown = told(
        known,
        ("bent", HERE, exceeds(Totals(90, 100), threshold=0.5)),
        ("bent", TOY, exceeds(Totals(10, 100), threshold=0.5)),
        ("spun", HERE, in_every_setting(parts)),
        ("spun", TOY, exceeds(Totals(95, 100), threshold=0.5)),
        pages={"here.tosses": "# Tosses\n\n| side | n |\n|---|---|\n| heads | 7 |\n"},
        figures={"one": drawn(), "two": drawn()},
        cases=cases,
        origins={"here": [{"table": "tosses", "images": 3, "facts": {"seed": "0"}, "aside": {}}]},
    )
    file = folder / "index.html"
    file.write_text(index(document, shown), encoding="utf-8")
    return file


def shown(page) -> list[tuple[str, str]]:
    """The verdicts that one sees."""
    rows = page.locator("tr.verdict:visible")
    return [
        (row.get_attribute("data-outcome"), row.get_attribute("data-model")) for row in rows.all()
    ]


ALL = [
    ("supported", "here, long ago"),
    ("refuted", "small"),
    ("undecided", "here, long ago"),
    ("supported", "small"),
]


def test_it_opens_without_a_word_and_asks_for_nothing(opened, page):
    found = opened(page)
    assert shown(found) == ALL
    assert found.locator("article:visible").count() == 3


def test_the_check_of_quiet_hears_planted_noise(browser, tmp_path):
    noisy, noise = tmp_path / "noisy.html", Noise()
    noisy.write_text('<img src="none.png"><script>console.log(1)</script>')
    with browser.new_context() as context:
        heard(context, noisy, "", noise)
    assert noise.said
    assert len(noise.asked) == 1


def test_filters_show_what_they_say_and_the_address_keeps_it(opened, page):
    found = opened(page)
    for outcome in ("supported", "undecided", "not run"):
        found.get_by_role("checkbox", name=outcome).uncheck()
    assert shown(found) == [("refuted", "small")]
    assert found.locator("#shown").inner_text() == "Shown: 1 verdict; 1 of 3 claims."
    found.locator("select[name=model]").select_option("here, long ago")
    assert shown(found) == []
    assert found.locator("#nothing").is_visible()
    fragment = found.evaluate("location.hash")
    again = opened(page, fragment)
    assert shown(again) == []
    assert again.locator("select[name=model]").input_value() == "here, long ago"
    again.locator("#all").click()
    assert shown(again) == ALL
    assert again.evaluate("location.hash") == ""


def test_what_was_not_run_on_a_subject_is_found_with_its_reason(opened, tmp_path):
    known, heads = claims(tmp_path, entry("bent"), entry("spun")), exceeds(Totals(90, 100), 0.5)
    report = told(known, ("bent", HERE, heads), ("bent", TOY, heads), ("spun", HERE, heads))
    file = tmp_path / "index.html"
    file.write_text(index(*report), encoding="utf-8")
    found = opened(file, "#outcome=not+run&model=small")
    assert shown(found) == []
    assert found.locator("article:visible").count() == 1
    assert found.locator("#claim-spun .gap").inner_text() == "Not run on small: not run"


def test_the_counts_at_the_top_lead_to_what_they_count(opened, page):
    found = opened(page)
    for outcome, many in (("supported", 2), ("refuted", 1), ("undecided", 1), ("not run", 0)):
        found.locator(f'[data-tile="{outcome}"] a').click()
        assert [each for each, _ in shown(found)] == [outcome] * many
    assert found.locator("article:visible").count() == 1
    found.get_by_role("link", name="small", exact=True).click()
    assert [model for _, model in shown(found)] == ["small"] * 2


def test_it_is_used_by_keyboard(opened, page):
    found = opened(page)
    found.keyboard.press("Tab")
    assert found.evaluate("document.activeElement.className") == "skip"
    box = found.get_by_role("checkbox", name="supported")
    box.focus()
    found.keyboard.press("Space")
    assert ("supported", "small") not in shown(found)
    summary = found.locator("#claim-bent summary")
    summary.focus()
    found.keyboard.press("Enter")
    assert found.locator("#claim-bent blockquote").is_visible()
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert found.evaluate(outline) == "solid"


def test_a_link_to_a_claim_unfolds_it_whatever_was_filtered(opened, page):
    found = opened(page, "#claim-spun")
    assert found.locator("#claim-spun blockquote").is_visible()
    assert not found.locator("#claim-bent blockquote").is_visible()
    found.get_by_role("checkbox", name="undecided").uncheck()
    found.locator("select[name=model]").select_option("here, long ago")
    assert not found.locator("#claim-spun").is_visible()
    found.evaluate("location.hash = '#claim-spun'")
    found.locator("#claim-spun blockquote").wait_for(state="visible")


def test_pictures_are_seen_with_their_tokens(opened, page):
    found = opened(page, "#claim-bent")
    pictures = found.locator("#claim-bent svg.picture")
    assert pictures.count() == 12
    assert pictures.first.bounding_box()["width"] > 100
    token = pictures.first.locator("rect.token").bounding_box()
    whole = pictures.first.bounding_box()
    assert token["width"] / whole["width"] == pytest.approx(0.25, abs=0.05)


def test_without_scripts_everything_stands_there(opened, page):
    found = opened(page, java_script_enabled=False)
    assert shown(found) == ALL
    assert not found.locator("#filters").is_visible()
    assert not found.locator("#theme").is_visible()


def test_print_unfolds_all_but_images(opened, page):
    found = opened(page)
    found.emulate_media(media="print")
    quotations = found.locator("article blockquote")
    assert [each.is_visible() for each in quotations.all()] == [True] * 3
    behind = found.locator(".behind")
    assert behind.count() > 0
    assert not behind.first.is_visible()  # dozens of pages
    assert not found.locator("#filters").is_visible()
    assert found.pdf().startswith(b"%PDF")


@pytest.mark.parametrize("width", [320, 390, 768])
def test_it_is_no_wider_than_the_screen(opened, page, width):
    found = opened(page, viewport={"width": width, "height": 900})
    found.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert found.evaluate("document.documentElement.scrollWidth") <= width


def test_the_button_turns_light_into_dark_and_back(opened, page):
    found = opened(page, color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = found.evaluate(ground)
    found.get_by_role("button", name="Dark colours").click()
    assert found.evaluate(ground) != light
    found.get_by_role("button", name="Light colours").click()
    assert found.evaluate(ground) == light
    assert opened(page, color_scheme="dark").evaluate(ground) != light


def serious(page) -> list[str]:
    """What axe finds that is serious."""
    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['help']}" for each in found if each["impact"] in SERIOUS]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1200])
def test_axe_finds_nothing_serious(opened, page, scheme, width):
    found = opened(page, viewport={"width": width, "height": 900}, color_scheme=scheme)
    found.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    assert serious(found) == []


def test_axe_finds_planted_violations(opened, tmp_path):
    file = tmp_path / "bad.html"
    file.write_text('<body><p style="color: #ccc; background: #fff">A few words</p><input></body>')
    found = {each.split(":")[0] for each in serious(opened(file))}
    assert {"color-contrast", "label", "html-has-lang"} <= found


def test_without_a_browser_it_fails_with_the_line_that_installs_one(monkeypatch):
    monkeypatch.delenv("VLM_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(pytest.fail.Exception, match="apt-get install chromium"):
        chromium()
    monkeypatch.setenv("VLM_CHROMIUM", "/none")
    with pytest.raises(pytest.fail.Exception) as told:
        chromium()
    assert str(told.value) == NONE

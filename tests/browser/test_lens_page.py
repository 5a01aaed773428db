"""The page of a lens in a browser.

Fails if it tells an error or asks for anything, if what a token holds runs or hides, if the token,
layer or word that is chosen is not the one that is shown, if a word that is not among the likeliest
passes for one of probability zero, if keys or a link do not lead where they should, or if axe finds
that somebody cannot read it.
"""

import re

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.shown import HOSTILE, as_large_as_a_models, made_up
from tests.tiny import picture
from vlmlib.study.lens_page import page_of
from vlmlib.study.lens_shown import LensShown, View

pytestmark = pytest.mark.browser

ROWS, COLS, LAYERS, TOP = 3, 4, 3, 2
OBJECT = [5, 6]
NARROW = {"width": 390, "height": 800}


def planted(beside: int = 0) -> LensShown:
    """In layer 2 the object's tokens say "cat" and the others "sky"; "cat" is second at token 1.
    The probability of "cat" is known, and "dog" is said nowhere."""
    tokens = ROWS * COLS + beside
    likeliest = [[["the", "a"] for _ in range(tokens)] for _ in range(LAYERS)]
    likeliest[2] = [["cat", "a"] if at in OBJECT else ["sky", "a"] for at in range(tokens)]
    likeliest[2][1] = ["sky", "cat"]
    top = np.full((LAYERS, tokens, TOP), 0.25)
    top[2, :, 0] = 0.5
    exact = np.full((LAYERS, tokens), 1e-6)
    exact[2, OBJECT] = 0.5
    exact[2, 1] = 0.25
    return made_up(likeliest, top, (ROWS, COLS), OBJECT, {"cat": exact}, beside)


@pytest.fixture
def page(opened) -> Page:
    return ready(opened(page_of(planted(), picture(0, (60, 40)), "planted")))


def ready(page: Page) -> Page:
    page.wait_for_selector("body[data-ready]")
    return page


def cell(page: Page, token: int):
    return page.locator(f'.cell[data-token="{token}"]')


def labels(page: Page) -> list[str]:
    """What each token is said to show."""
    found = page.locator("#grid .cell").evaluate_all(
        "all => all.map(each => each.getAttribute('aria-label'))"
    )
    return [each.split(": ")[-1] for each in found]


def colours(page: Page) -> list[str]:
    return page.locator("#grid .cell").evaluate_all(
        "all => all.map(each => getComputedStyle(each).backgroundColor)"
    )


def table(page: Page, layer: int) -> list[str]:
    row = page.locator("#table tbody tr").nth(layer)
    return row.locator("bdi").all_inner_texts()


def set_layer(page: Page, layer: int) -> None:
    page.get_by_role("slider").fill(str(layer))


def test_it_begins_with_the_first_word_where_it_tells_the_object(page):
    assert page.locator("#layer-told").inner_text() == "2 of 2"
    assert page.get_by_label("Word", exact=True).input_value() == "cat"
    assert "Area under the curve: 1.000" in page.locator("#about-told").inner_text()


def test_a_known_word_lights_its_patches_with_their_probabilities(page):
    """Brightest where it is likeliest, and alike where it is alike."""
    shown, seen = labels(page), colours(page)
    assert [shown[at] for at in (*OBJECT, 1, 0)] == ["50 %", "50 %", "25 %", "1.0e-6"]
    assert len({seen[at] for at in OBJECT}) == 1
    assert seen[1] != seen[5]
    assert len({seen[at] for at in (0, 2, 3, 4, 7, 8, 9, 10, 11)} - {seen[5], seen[1]}) == 1
    set_layer(page, 1)
    assert labels(page) == ["1.0e-6"] * 12
    assert len(set(colours(page))) == 1


def test_any_other_word_shows_where_it_is_among_the_likeliest(page):
    page.get_by_label("Word", exact=True).fill(" SKY ")
    shown = labels(page)
    assert [shown[at] for at in (0, *OBJECT)] == ["50 %", "below the top 2", "below the top 2"]
    assert page.locator("#grid .cell").all_inner_texts()[:6] == ["1"] * 5 + [""]
    assert "Among the top 2 of 10 of 12 tokens." in page.locator("#about-told").inner_text()
    set_layer(page, 0)
    assert set(labels(page)) == {"below the top 2"}


def test_a_word_that_is_nowhere_is_below_the_top_and_not_zero(page):
    page.get_by_label("Word", exact=True).fill("dog")
    assert set(labels(page)) == {"below the top 2"}
    told = page.locator("#about-told").inner_text()
    assert "In no layer" in told
    assert "below the top 2, and not 0" in told
    assert page.locator("#legend").inner_text().strip().startswith("below the top 2")


def test_likeliest_words_stand_on_their_patches(page):
    page.get_by_role("radio", name="likeliest words").check()
    words = page.locator("#grid .cell").all_inner_texts()
    assert words == ["cat" if at in OBJECT else "sky" for at in range(12)]
    matching = page.locator("#grid .cell.match").evaluate_all("a => a.map(e => +e.dataset.token)")
    assert matching == OBJECT
    set_layer(page, 0)
    assert set(page.locator("#grid .cell").all_inner_texts()) == {"the"}


def test_hovering_shows_a_token_and_leaving_the_chosen_one(page):
    cell(page, 1).hover()
    assert table(page, 2) == ["sky", "cat"]
    assert "row 1, column 2" in page.locator("#token-told").inner_text()
    page.mouse.move(0, 0)
    assert table(page, 2) == ["cat", "a"]


def test_tapping_chooses_a_token(opened):
    page = ready(opened(page_of(planted()), has_touch=True, viewport=NARROW))
    cell(page, 3).tap()
    assert "row 1, column 4" in page.locator("#token-told").inner_text()
    assert page.url.endswith("#token=4&layer=2&mode=word&word=cat")


def test_keys_move_between_tokens_and_layers(page):
    cell(page, 5).focus()
    for keys, token in (
        (["ArrowRight"], 6),
        (["ArrowDown"], 10),
        (["ArrowDown", "ArrowRight", "ArrowRight"], 11),
        (["Home"], 8),
        (["ArrowLeft", "ArrowUp"], 4),
        (["End", "ArrowUp", "ArrowUp"], 3),
    ):
        for key in keys:
            page.keyboard.press(key)
        chosen = page.evaluate("Number(document.activeElement.dataset.token)")
        assert chosen == token
        assert page.locator('.cell[aria-selected="true"]').count() == 1
    page.keyboard.press("PageDown")
    assert page.locator("#layer-told").inner_text() == "1 of 2"
    page.keyboard.press("PageDown")
    page.keyboard.press("PageDown")
    assert page.locator("#layer-told").inner_text() == "0 of 2, the adapter's output"
    assert page.evaluate("Number(document.activeElement.dataset.token)") == 3


def test_one_token_is_in_the_order_of_tabs(page):
    assert page.locator('.cell[tabindex="0"]').count() == 1


def test_a_link_leads_to_its_token(opened):
    text = page_of(planted())
    page = ready(opened(text, "#token=2&layer=1&mode=tokens&word=sky"))
    assert "row 1, column 2" in page.locator("#token-told").inner_text()
    assert page.locator("#layer-told").inner_text() == "1 of 2"
    assert page.get_by_role("radio", name="likeliest words").is_checked()
    page.evaluate("location.hash = '#token=7&layer=2'")
    page.wait_for_function("document.querySelector('.chosen').dataset.token == 6")
    assert page.get_by_role("link").get_attribute("href") == "#token=7&layer=2&mode=tokens&word=sky"
    for wrong in ("#token=999&layer=-3", "#token=x&mode=y", "#%", "#word=%3Cb%3E"):
        assert ready(opened(text, wrong)).locator(".cell.chosen").count() == 1


def test_tokens_of_the_object_are_outlined_and_named(page):
    """An edge is drawn where a token outside lies beyond it: six of two that lie side by side."""
    path = page.locator("#outline .over").get_attribute("d")
    assert path is not None
    assert sorted(re.findall(r"M[\d ]+[hv]1", path)) == sorted(
        ["M1 1h1", "M1 2h1", "M1 1v1", "M2 1h1", "M2 2h1", "M3 1v1"]
    )
    assert ", of the object: " in (cell(page, 5).get_attribute("aria-label") or "")
    assert ", of the object: " not in (cell(page, 4).get_attribute("aria-label") or "")


def test_what_tokens_hold_is_shown_and_does_not_run(opened):
    likeliest = [[HOSTILE, HOSTILE[::-1]]] * 2
    text = page_of(made_up(likeliest, np.full((2, 2, len(HOSTILE)), 0.05), (1, 2)), None, "quiet")
    page = ready(opened(text, "#token=1&mode=tokens"))
    signs = ["\\u{202e}gnp.exe", "שלום", "日本語", "␀␛[2J", "␊", "\\u{2028}", "◌\u0301"]
    shown = table(page, 0)
    assert shown[:3] == [each.replace(" ", "␣") for each in HOSTILE[:3]]
    assert shown[3:] == [*signs, "\\u{d800}", "#11"]
    page.get_by_label("Word", exact=True).fill(HOSTILE[0])
    assert page.title() == "quiet"
    assert page.locator("script").count() == 2
    assert page.locator("img").count() == 1


def test_tokens_without_a_place_are_listed(opened):
    page = ready(opened(page_of(planted(beside=2)), "#mode=tokens"))
    assert page.locator("#list .cell").all_inner_texts() == ["sky", "sky"]
    cell(page, 12).click()
    told = page.locator("#token-told").inner_text()
    assert "position 15 of the prompt, in place of ␊" in told
    page.keyboard.press("ArrowRight")
    assert page.evaluate("Number(document.activeElement.dataset.token)") == 13


def test_where_no_token_has_a_place_the_picture_stands_by_itself(opened):
    plain = planted().plain
    beside = [[at, "<image>"] for at in range(ROWS * COLS)]
    shown = LensShown.of_plain({**plain, "views": [], "beside": beside, "unplaced": "So it is."})
    for image in (picture(0, (60, 40)), None):
        page = ready(opened(page_of(shown, image)))
        assert page.locator("#picture").is_visible() == bool(image)
        assert page.locator("#list .cell").count() == ROWS * COLS
        assert (
            "where in the picture the tokens are: So it is."
            in page.locator(".note").nth(-1).inner_text()
        )
        assert Axe().run(page).response["violations"] == []


def test_each_view_has_its_grid(opened):
    whole = planted()
    views = [View(2, 3, [*range(6)], [0, 0, 1, 1]), View(2, 3, [*range(6, 12)], [0, 0.5, 0.5, 0.5])]
    shown = LensShown.of_plain({**whole.plain, "views": [vars(each) for each in views]})
    page = ready(opened(page_of(shown, picture(0, (60, 40)))))
    assert page.get_by_label("View", exact=True).locator("option").all_inner_texts() == [
        "1 of 2: 2 by 3",
        "2 of 2: 2 by 3",
    ]
    page.get_by_label("View", exact=True).select_option("1")
    assert page.locator("#grid .cell").evaluate_all("a => a.map(e => +e.dataset.token)") == [
        *range(6, 12)
    ]
    assert "view 2, row 1, column 1" in page.locator("#token-told").inner_text()
    frame, image = page.locator("#frame").bounding_box(), page.locator("#picture").bounding_box()
    assert frame
    assert image
    assert image["width"] == pytest.approx(2 * frame["width"], abs=1)
    assert frame["x"] - image["x"] == pytest.approx(frame["width"], abs=1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("mode", ["word", "tokens", "nothing"])
def test_axe_finds_nothing_serious(opened, scheme, width, mode):
    text = page_of(planted(beside=2), picture(0, (60, 40)), notes=["A note."])
    size = {"width": width, "height": 900}
    page = ready(opened(text, f"#mode={mode}", color_scheme=scheme, viewport=size))
    found = Axe().run(page).response["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_page_as_large_as_a_models_has_few_nodes(opened):
    page = ready(opened(page_of(as_large_as_a_models()), "#mode=tokens"))
    assert page.evaluate("document.querySelectorAll('*').length") < 20_000
    assert page.locator("#grid .cell").count() == 576

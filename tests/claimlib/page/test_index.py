"""index.html: does it tell all that was found, nothing else, and stand on its own?

Fails if a count is another than the document's, if a claim has no view of its own, if a text of a
claim, a model or a file becomes markup, if the page would load anything, if two ids are alike, or
if pictures make it larger than 10 MB without a word.
"""

import json
import re
from dataclasses import replace
from typing import Any

import pytest

from claimlib import ClaimError, Figure, Subject, Totals, Trial, Verdict, exceeds
from claimlib.data import broken, document
from claimlib.page import index as module
from claimlib.page.index import LARGEST, index
from claimlib.page.pictures import NAMED
from claimlib.report import row
from claimlib.verdicts import in_every_setting, left_out, no_images
from tests.claimlib.foreign import entry
from tests.claimlib.page.reading import Read
from tests.claimlib.page.reports import case, claims, pictures, together, told

HERE, TOY = Subject("here"), Subject("small", toy=True, group="A stand-in", note="It is small.")
DRAWN = Figure("Heads", "Seven of them.", '<svg><path id="a" d="M0 0"/></svg>', "", "side,n\nh,7\n")


def tossed(heads: int, n: int = 100) -> Verdict:
    return exceeds(Totals(heads, n), threshold=0.5)


def read(*report) -> Read:
    return Read(index(*report))


@pytest.fixture
def coins(tmp_path):
    return claims(tmp_path, entry("bent"), entry("spun"), entry("edge", section="abstract"))


@pytest.fixture
def full(coins):
    """A report in which everything stands that a page can show."""
    parts = in_every_setting({"a": tossed(90), "b": tossed(10, 12)}, on_average=tossed(80))
    return told(
        coins,
        ("bent", HERE, tossed(90)),
        ("bent", TOY, tossed(10)),
        ("spun", HERE, parts),
        ("spun", TOY, left_out("exceeds", "It has none.")),
        ("spun", Subject("there"), no_images("exceeds", "> 50%")),
        pages={"here.tosses": "# Tosses\n\n| side | n |\n|---|---|\n| heads | 7 |\n"},
        figures={"one": DRAWN, "two": DRAWN},
        files={"lens/7 a.html": "<p>7</p>"},
        cases=[*(case(str(at)) for at in range(9)), *(case(f"k{at}", False) for at in range(3))],
        origins={"here": [{"table": "tosses", "images": 3, "facts": {"seed": "0"}, "aside": {}}]},
    )


# --- what it tells


def counts(page: Read) -> dict[str, int]:
    tiles = [each for each in page.all("li") if "data-tile" in each.has]
    return {each.has["data-tile"]: int(each.text.split()[0]) for each in tiles}


def test_the_headline_counts_what_the_document_holds(full):
    document, _ = full
    page = read(*full)
    outcomes = [each["outcome"] for each in document["verdicts"]]
    assert counts(page) == {
        "supported": outcomes.count("supported"),
        "refuted": outcomes.count("refuted"),
        "undecided": outcomes.count("undecided"),
        "not run": 1,
    }
    assert "5 verdicts on 2 of 3 claims, held against 3 subjects:" in page.text


def test_the_headline_names_what_was_held_against_claims_and_its_data(coins):
    measured = {"table": "tosses", "images": 3, "facts": {"data": "coins_2017"}, "aside": {}}
    report = told(
        coins, ("bent", HERE, tossed(90)), ("bent", TOY, tossed(10)), origins={"here": [measured]}
    )
    [held] = read(*report).all("ul", class_="held")
    assert held.text.strip() == "here on coins_2017\nA stand-in: small"


def test_a_long_headline_says_how_many_more_there_are(coins):
    found = [("bent", Subject(f"model {at}"), tossed(90)) for at in range(8)]
    [held] = read(*told(coins, *found)).all("ul", class_="held")
    assert held.text.strip().endswith("model 5 and 2 more")
    assert "model 6" not in held.text


def test_a_subject_of_which_every_test_crashed_is_told(coins):
    crashed = broken(Trial(coins["bent"], TOY), KeyError("coin"))
    found = document([row(Trial(coins["spun"], HERE), tossed(90), 0, {})], {}, [crashed])
    page = read(found, [])
    [line] = [each for each in page.all("tr") if each.text.strip().startswith("small")]
    assert "stand-in" in line.text
    assert "It is small." in page.text
    assert "ended with an error: 'coin'" in page.text


def test_the_page_says_which_run_made_it(coins):
    run = {"id": "1f2e", "started": "2026-01-02T03:04:05+00:00", "seconds": 61.4}
    run["command"] = "pytest claims/ -m 'not <slow>'"
    found = document([row(Trial(coins["spun"], HERE), tossed(90), 0, {})], {}, (), run)
    provenance = read(found, []).one("section", id="provenance").text
    assert "2026-01-02T03:04:05+00:00, 61 s: pytest claims/ -m 'not <slow>'; its id is 1f2e" in (
        provenance
    )


def test_every_claim_has_a_view_with_all_that_decides_it(full):
    document, _ = full
    page = read(*full)
    views = page.all("article")
    assert len(views) == len(document["claims"]) == 3
    for claim in document["claims"]:
        [view] = [each for each in views if each.has["id"] == f"claim-{claim['claim']}"]
        for key in ("statement", "source", "bound_source", "control", "supported_when", "kind"):
            assert claim[key] in view.text


def test_every_verdict_stands_in_a_row_with_its_word_and_its_subject(full):
    document, _ = full
    rows = read(*full).all("tr", class_="verdict")
    found = [(each.has["data-outcome"], each.has["data-model"]) for each in rows]
    assert found == [(each["outcome"], each["subject"]) for each in document["verdicts"]]
    for each in rows:
        assert each.has["data-outcome"] in each.text


def test_a_stand_in_is_called_one_beside_each_of_its_verdicts(full):
    rows = read(*full).all("tr", class_="verdict")
    assert {each.has["data-model"] for each in rows if "stand-in" in each.text} == {"small"}
    assert sum(each.has["data-model"] == "small" for each in rows) == 2


def test_figures_and_tables_of_a_stand_in_are_called_so(coins):
    pages = {"tosses": "# Tosses"}
    for subject, marks in ((TOY, 2), (HERE, 0)):
        report = told(coins, ("bent", subject, tossed(9)), pages=pages, figures={"one": DRAWN})
        page = read(*report)
        heads = [*page.all("h3", id="figure-0-title"), *page.all("summary")]
        assert sum("stand-in" in each.text for each in heads) == marks


def test_what_stands_side_by_side_is_not_drawn_alone_too(coins):
    names = ("small.throws", "here.throws", "side by side.throws", "here.spins")
    report = told(
        coins,
        ("bent", TOY, tossed(9)),
        ("spun", HERE, tossed(9)),
        figures=dict.fromkeys(names, DRAWN),
    )
    page = read(*report)
    assert len(page.all("figure")) == 2
    together, alone = page.all("figure")
    for name in names[:2]:
        assert f"{name} (CSV" in together.text
    for name in names:
        assert page.all("a", href=f"figures/{name.replace(' ', '%20')}.csv")
    assert "stand-in" in together.text
    assert "Each alone" not in alone.text


def test_sections_stand_in_their_order_and_what_was_not_run_says_why(full):
    page = read(*full)
    assert [each.text for each in page.all("h3", class_="section")] == ["abstract", "section 1"]
    [never] = page.all("p", class_="never")
    assert "not run" in never.text
    assert "Its test was not selected" in never.text


def test_parts_and_averages_have_their_numbers(full):
    [view] = [each for each in read(*full).all("article") if each.has["id"] == "claim-spun"]
    for part in ("90.0%", "83.3%", "80.0%", "on average", "It has none.", "No images are left."):
        assert part in view.text


def test_provenance_files_figures_and_pages_are_there(full):
    page = read(*full)
    assert "seed" in page.one("section", id="provenance").text
    assert page.all("a", href="lens/7%20a.html")
    assert page.all("a", href="figures/one.csv")
    assert "heads" in page.one("section", id="tables").text
    assert page.one("section", id="tables").text.count("Tosses") == 1


def test_files_stand_once_by_number_and_under_no_claim(coins):
    files = {"lens/10.html": "x", "lens/9.html": "x", "a.parquet": "x"}
    page = read(*told(coins, ("bent", HERE, tossed(90)), files=files))
    links = [each.has["href"] for each in page.all("a") if each.has.get("href") in files]
    assert links == ["a.parquet", "lens/9.html", "lens/10.html"]
    tables = page.one("section", id="tables").text
    assert all(tables.count(name) == 1 for name in files)


def test_two_papers_stand_beside_each_other_with_claims_of_one_name(tmp_path):
    reports = [
        told(claims(tmp_path / name, title=name), ("bent", HERE, tossed(heads)))
        for name, heads in (("Coins", 90), ("Dice", 10))
    ]
    page = read(*together(*reports))
    assert [each.text for each in page.all("h3", class_="chapter")] == ["Coins", "Dice"]
    views = {each.has["id"]: each.text for each in page.all("article")}
    assert {*views} == {"claim-bent", "claim-spun", "claim-bent.2", "claim-spun.2"}
    assert "supported" in views["claim-bent"]
    assert "The contrary is shown" in views["claim-bent.2"]


def test_a_report_of_nothing_is_a_page(tmp_path):
    page = read(*told({}))
    assert page.astray == []
    assert counts(page) == dict.fromkeys(("supported", "refuted", "undecided", "not run"), 0)


# --- that it stands on its own


def test_the_page_is_well_formed_and_no_two_ids_are_alike(full):
    page = read(*full)
    assert page.astray == []
    ids = [each.has["id"] for each in page.found if "id" in each.has]
    assert sorted(ids) == sorted(set(ids))
    known = {f"#{each}" for each in ids}
    for each in page.found:
        to = each.has.get("href", "")
        assert not to.startswith("#") or "=" in to or to in known, to
        for name in each.has.get("aria-labelledby", "").split():
            assert f"#{name}" in known


def test_the_check_of_form_finds_planted_faults():
    assert Read("<body><p><b></p></b></body>").astray
    assert Read('<body><p id="a" id="b"></p></body>').astray == ["p id", "p id"]
    assert Read("<body><div/></body>").astray == ["div/"]
    assert Read("<body><p><br>a</p></body>").astray == []


def test_whatever_one_chooses_by_has_a_label(full):
    page = read(*full)
    labels = " ".join(each.text for each in page.all("label"))
    for box in page.all("input"):
        assert box.has["value"] in labels
    assert "Held against" in labels
    for each in page.all("*", role="region"):
        assert each.has.get("aria-label") or each.has.get("aria-labelledby")


def loads(page: Read) -> list[str]:
    """What a browser would fetch for a page, or run of it."""
    found = [
        f"{each.tag} {name}={value}"
        for each in page.found
        for name, value in each.has.items()
        if name in ("src", "srcset", "poster", "data", "action", "background")
        or name.startswith("on")
        or (name == "href" and each.tag != "a" and not value.startswith(("#", "data:")))
        or (name == "style" and "url(" in value)
        or (name == "href" and re.match(r"\s*(javascript|data|vbscript):", value, re.I))
        if each.tag != "link" and each.tag != "image"
    ]
    styles = "".join(each.text for each in page.all("style"))
    return found + re.findall(r"url\(|@import|https?://", styles)


def test_nothing_loads_and_only_the_paper_is_linked_elsewhere(full):
    page = read(*full)
    assert loads(page) == []
    away = [each.has["href"] for each in page.all("a") if "//" in each.has.get("href", "")]
    assert away == ["https://example.org/On coins"]
    assert "default-src 'none'" in page.html
    assert {each.has["href"][:11] for each in page.all("image")} == {"data:image/"}


def test_the_check_of_what_loads_finds_planted_faults():
    assert loads(Read('<body><img src="a.png"></body>'))
    assert loads(Read('<body><p onclick="x()">a</p></body>'))
    assert loads(Read('<body><a href="javascript:x()">a</a></body>'))
    assert loads(Read("<body><style>p { background: url(a.png) }</style></body>"))
    assert loads(Read('<body><a href="#b">a</a></body>')) == []


def test_an_address_that_is_none_of_the_web_is_no_link(full):
    document, shown = full
    document["papers"][0]["url"] = "javascript:alert(1)"
    page = read(document, shown)
    assert not [each for each in page.all("a") if "javascript" in each.has.get("href", "")]
    assert "javascript:alert(1)" in page.text


NASTY = {
    "a script": "<script>alert(1)</script>",
    "an attribute": "\"'><img src=x onerror=alert(1)>",
    "the end of the style": "</style></script><b>",
    "a template": "{{ 7 * 7 }}{% raw %}",
    "markdown": "![x](https://example.org/x.png) <b>*a*</b>",
}
UNSEEN = {
    "a turn": "a\u202eb",
    "a code": "a\x1b[2Jb",
    "a null": "a\0b",
    "half a letter": "a\udcffb",
}


def everywhere(text: str, coins) -> tuple:
    """A report that has a text wherever one may come from a claim, a model or a file."""
    named: dict[str, Any] = dict.fromkeys(("setting", "arm", "question", "before", "after"), text)
    verdict = replace(tossed(52), why=text, control=text, detectable=text, cause=text)
    claim = replace(coins["bent"], statement=text, source=text, bound_source=text, control=text)
    figure = replace(DRAWN, title=text, tells=text, csv=f'"{text.replace(chr(34), "")}"\n1\n')
    facts = {"table": text, "images": 1, "facts": {text: text}, "aside": {}}
    document, shown = told(
        coins | {"bent": claim},
        ("bent", Subject(text, group=text, note=text, toy=True), verdict),
        ("spun", HERE, in_every_setting({text: verdict, "b": verdict})),
        pages={text: text},
        figures={text: figure},
        files={f"{text}.html": ""},
        cases=[case(text, **named), case(text, False, picture=text, **named)],
        origins={text: [facts]},
    )
    keys = ("statement", "source", "bound_source", "control")
    document["claims"][0] |= dict.fromkeys(keys, text)
    document["not_run"][0] |= {"reason": text, "subject": text}
    return document, shown


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_no_text_becomes_markup(coins, text):
    page, plain = read(*everywhere(text, coins)), read(*everywhere("plain", coins))
    assert page.astray == []
    assert loads(page) == []
    assert [each.tag for each in page.all("script")] == ["script"]
    tags = [each.tag for each in page.found if each.tag not in ("em", "b")]
    assert tags.count("img") == 0
    assert tags == [each.tag for each in plain.found]
    assert page.text.count(" ".join(text.split())) > 20


@pytest.mark.parametrize("text", UNSEEN.values(), ids=UNSEEN)
def test_what_cannot_be_seen_is_not_in_the_page(coins, text):
    page = index(*everywhere(text, coins))
    assert page.encode()
    assert not {*"\u202e\x1b\0\udcff"} & {*page}
    assert "a\N{REPLACEMENT CHARACTER}" in page


# --- pictures


def test_two_figures_of_the_same_ids_have_their_own(full):
    page = read(*full)
    ids = [each.has["id"] for each in page.all("path") if "id" in each.has]
    assert ids == ["figure-0-a", "figure-1-a"]


def test_a_figure_that_is_no_svg_is_refused(coins):
    figures = {"heads": replace(DRAWN, svg="<svg")}
    with pytest.raises(ClaimError, match="figure 'heads' is no SVG"):
        index(*told(coins, ("bent", HERE, tossed(90)), figures=figures))


def test_figures_beyond_what_a_page_holds_are_links(coins, monkeypatch):
    monkeypatch.setattr(module, "DRAWN", 60)
    figures = {"one": DRAWN, "two": DRAWN}
    page = read(*told(coins, ("bent", HERE, tossed(90)), figures=figures))
    assert len(page.all("div", class_="drawing")) == 1
    assert page.text.count("Not drawn here") == 1
    assert page.all("a", href="figures/two.svg")


def test_a_figure_that_is_too_large_takes_no_other_along(coins, monkeypatch):
    monkeypatch.setattr(module, "DRAWN", 60)
    large = replace(DRAWN, svg=DRAWN.svg.replace("M0 0", "M0 0" * 20))
    page = read(*told(coins, ("bent", HERE, tossed(90)), figures={"large": large, "two": DRAWN}))
    first, second = page.all("figure")
    assert "Not drawn here" in first.text
    assert "Not drawn here" not in second.text


def test_a_long_table_of_numbers_ends_and_says_so(coins):
    long = replace(DRAWN, csv="n\n" + "7\n" * 1000)
    page = read(*told(coins, ("bent", HERE, tossed(90)), figures={"one": long}))
    assert "800 more lines stand in the file" in page.text


def test_a_claim_shows_at_most_twelve_pictures_and_names_the_rest(coins):
    lost = [case(f"l{at}", picture=each) for at, each in enumerate(pictures(20))]
    kept = [case(f"k{at}", False, picture=each) for at, each in enumerate(pictures(20, 41))]
    page = read(*told(coins, ("bent", HERE, tossed(90)), cases=lost + kept))
    assert len(page.all("svg", class_="picture")) == len(page.all("image")) == 12
    for words in ("took the right answer away", "did not take it away"):
        assert f"object, polling: {words} on 20 of 40 images" in page.text
    for each in (*lost, *kept):
        assert re.search(rf"\b{each.image}(?!\d)", page.text)
    assert "Pictures were left out" not in page.text


def test_few_of_one_group_leave_their_room_to_the_other(coins):
    cases = [case(f"l{at}") for at in range(20)] + [case("k", False)]
    page = read(*told(coins, ("bent", HERE, tossed(90)), cases=cases))
    assert len(page.all("li", class_="case")) == 12
    assert len(page.all("image")) == 1  # all show the same picture, which stands there once


def test_each_arm_stands_by_itself_and_takes_its_turn(coins):
    """Six arms on ten images each: of each two, one that lost the answer and one that did not."""
    cases = [
        case(f"{arm}-{at}", at < 4, arm=f"arm {arm}", setting="VQA")
        for arm in range(6)
        for at in range(10)
    ]
    page = read(*told(coins, ("bent", HERE, tossed(90)), cases=cases))
    for arm in range(6):
        assert f"arm {arm}, VQA: took the right answer away on 4 of 10 images" in page.text
    lists = page.all("ul", class_="cases")
    assert [len(page.all("li", class_="case"))] == [12]
    assert len(lists) == 12


def test_of_very_many_images_some_are_named_and_the_rest_counted(coins):
    plain = [case(f"i{at}", before="", after="", picture="", tokens=()) for at in range(1000)]
    page = read(*told(coins, ("bent", HERE, tossed(90)), cases=plain))
    assert "took the right answer away on 1000 of 1000 images" in page.text
    assert f"i{NAMED - 1} and {1000 - NAMED} more" in page.text


def test_an_image_that_is_only_counted_is_named_and_not_told(coins):
    plain = case("l2", before="", after="", question="", picture="", tokens=())
    page = read(*told(coins, ("bent", HERE, tossed(90)), cases=[case("l1"), plain]))
    assert len(page.all("li", class_="case")) == 1
    assert "away on 2 of 2 images" in page.text
    assert "Others: l2" in page.text


def test_tokens_are_outlined_where_they_lie(coins):
    page = read(*told(coins, ("bent", HERE, tossed(90)), cases=[case()]))
    [box] = page.all("rect", class_="token")
    sides = {"x": "10.0", "y": "15.0", "width": "10.0", "height": "7.5"}
    assert sides.items() <= box.has.items()
    assert page.one("svg", class_="picture").has["aria-label"] == (
        "Image 7, with the object's 1 tokens outlined"
    )


@pytest.mark.parametrize(
    "picture", ["", "https://example.org/a.png", "data:image/svg+xml;base64,AAAA", "a.png"]
)
def test_without_a_picture_that_may_be_shown_the_answers_stand_alone(coins, picture):
    page = read(*told(coins, ("bent", HERE, tossed(90)), cases=[case(picture=picture)]))
    assert page.all("svg", class_="picture") == page.all("image") == []
    assert "Is there a dog?" in page.one("li", class_="case").text
    assert loads(page) == []


@pytest.mark.slow
def test_a_page_of_large_pictures_stays_small_and_says_so(coins):
    """Evenly: each claim and subject keeps as many."""
    cases = [case(str(at), picture=each) for at, each in enumerate(pictures(12, 500_000))]
    more = [case(str(at), picture=each) for at, each in enumerate(pictures(12, 500_001))]
    document, shown = told(coins, ("bent", HERE, tossed(90)), ("spun", HERE, tossed(90)))
    for one, those in zip(shown, (cases, more), strict=True):
        one["cases"] = [each.plain for each in those]
    page = index(document, shown)
    assert 9_000_000 < len(page.encode()) <= LARGEST
    found = Read(page)
    assert "at most 9 are shown for each claim and subject" in found.text
    views = [each for each in found.all("article") if "behind it" in each.text]
    assert [each.text.count("Is there a dog?") for each in views] == [9, 9]


@pytest.mark.slow
def test_pictures_that_no_page_can_hold_are_left_out(coins):
    cases = [case(picture=each) for each in pictures(1, 11_000_000)]
    page = index(*told(coins, ("bent", HERE, tossed(90)), cases=cases))
    assert len(page.encode()) < 1_000_000
    assert "none is shown" in page


def test_the_same_report_is_the_same_page(full):
    assert index(*full) == index(*json.loads(json.dumps(full)))

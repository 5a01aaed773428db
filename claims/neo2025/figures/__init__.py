"""The paper's figures, drawn from rows: `figures_of` a study."""

from collections.abc import Iterator, Mapping
from functools import cache

from claimlib.figures import Figure
from claims.neo2025.figures import ablations, answers, knockouts, lens, tokens
from claims.neo2025.published import MODELS as PRINTED_MODELS
from claims.neo2025.published import Published
from claims.neo2025.sample import by_question
from claims.neo2025.study import FromRows, Measured, Study
from vlmlib.study import Example


def figures_of(study: Study) -> dict[str, Figure]:
    """The figures of each measurement that a study has made so far, by name."""
    return {
        f"{study.label}.{name}": figure
        for measurement in study.made
        for name, figure in _drawn(study, measurement).items()
    }


@cache
def _drawn(study: Study, measurement: str) -> dict[str, Figure]:
    return dict(_draw(study, measurement))


def _draw(study: Study, measurement: str) -> Iterator[tuple[str, Figure]]:
    printed = Published(study.name) if study.name in PRINTED_MODELS else None
    match measurement:
        case "ablations":
            yield from ablations.figures(
                study.ablations, printed and printed.ablations, study.label
            )
            if isinstance(study, FromRows):
                yield from _of_images(study, study.label)
        case "knockouts":
            yield from knockouts.figures(
                study.knockouts, study.windows, printed and printed.knockouts, study.label
            )
        case "lens":
            yield from lens.figures(study.lens, printed and printed.lens, study.label)


def _of_images(study: FromRows, label: str) -> Iterator[tuple[str, Figure]]:
    """The figures that show images, or their ids where they are not at hand."""
    pictures = _pictures(study)
    yield from answers.figures(study.ablations, pictures, label)
    yield from tokens.figures(study.rows("polling", "ablations"), pictures, label)


def _pictures(study: FromRows) -> Mapping[str, Example]:
    """By id the images of table 1 and the questions about them."""
    images = study.images.examples if isinstance(study, Measured) else []
    return {each.id: each for each in (*by_question(images), *images)}

"""Section 3: is the information about an object localised to its visual tokens?"""

from itertools import pairwise

import pytest

from claimlib.controls import beside_negative_control, beside_positive_control
from claimlib.curves import increases_along, mean_within
from claimlib.shares import exceeds, greater, negligible
from claimlib.verdicts import in_every_setting
from claims.neo2025.arms import COUNTS, REGIONS
from claims.neo2025.cells import agreement
from claims.neo2025.study import TASKS

# The printed counts nearest to the regions' 12.6, 33.4 and 60 tokens.
COMPARABLE = {"object": (10,), "+1 buffer": (40,), "+2 buffer": (60,)}


def more_than_elsewhere(table, task, region, threshold):
    verdict = exceeds(table.lost(task, region), threshold)
    return beside_negative_control(verdict, *table.pair(task, region, f"elsewhere {region}"))


@pytest.mark.claim("object-impairs")
def test_ablating_the_object_impairs_identification_in_every_setting(trial, subject):
    table = subject.ablations
    verdicts = {
        task: more_than_elsewhere(table, task, "object", trial.claim.bounds["threshold"])
        for task in TASKS
    }
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("object-buffer-70")
def test_ablating_the_object_with_a_buffer_takes_away_over_70_percent_in_every_setting(
    trial, subject
):
    table = subject.ablations
    verdicts = {
        task: more_than_elsewhere(table, task, "+1 buffer", trial.claim.bounds["threshold"])
        for task in TASKS
    }
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("object-buffer-polling")
def test_ablating_the_object_with_a_buffer_of_one_takes_away_most_polling_answers(trial, subject):
    trial.check(
        more_than_elsewhere(
            subject.ablations, "polling", "+1 buffer", trial.claim.bounds["threshold"]
        )
    )


@pytest.mark.claim("buffer-order")
def test_a_larger_buffer_takes_away_more(trial, subject):
    table, verdicts = subject.ablations, {}
    for task in TASKS:
        for smaller, larger in pairwise(REGIONS):
            verdict = greater(*table.pair(task, larger, smaller))
            verdict = beside_negative_control(
                verdict, *table.pair(task, larger, f"random = {larger}")
            )
            verdicts[f"{task}, {larger} over {smaller}"] = verdict
    trial.check(in_every_setting(verdicts))


def beats(table, baseline, counts):
    """Each region against the baseline with some counts of tokens, under every task."""
    return in_every_setting(
        {
            f"{task}, {region} over {baseline} {count}": greater(
                *table.pair(task, region, f"{baseline} {count}")
            )
            for task in TASKS
            for region, chosen in counts.items()
            for count in chosen
        }
    )


@pytest.mark.claim("object-beats-gradient")
def test_the_object_costs_more_than_comparably_many_high_gradient_tokens(trial, subject):
    trial.check(beats(subject.ablations, "gradient", COMPARABLE))


@pytest.mark.claim("object-beats-gradient-20")
def test_the_object_costs_more_than_20_high_gradient_tokens(trial, subject):
    trial.check(beats(subject.ablations, "gradient", {"object": (20,)}))


@pytest.mark.claim("object-beats-gradient-same-count")
def test_the_object_costs_more_than_exactly_as_many_high_gradient_tokens(trial, subject):
    trial.check(
        beats(subject.ablations, "gradient", {region: (f"= {region}",) for region in REGIONS})
    )


@pytest.mark.claim("object-beats-random")
def test_the_object_costs_more_than_comparably_many_random_tokens(trial, subject):
    trial.check(beats(subject.ablations, "random", COMPARABLE | {"object": (10, 20)}))


@pytest.mark.claim("object-beats-random-same-count")
def test_the_object_costs_more_than_exactly_as_many_random_tokens(trial, subject):
    trial.check(
        beats(subject.ablations, "random", {region: (f"= {region}",) for region in REGIONS})
    )


def hardly_matter(table, arms, margin):
    return in_every_setting(
        {
            f"{task}, {arm}": beside_positive_control(
                negligible(table.lost(task, arm), margin), table.lost(task, "+1 buffer"), margin
            )
            for task in TASKS
            for arm in arms
        }
    )


@pytest.mark.claim("register-negligible")
def test_register_tokens_hardly_matter(trial, subject):
    trial.check(hardly_matter(subject.ablations, ["register"], trial.claim.bounds["margin"]))


@pytest.mark.claim("random-negligible")
def test_random_tokens_hardly_matter(trial, subject):
    table, arms = subject.ablations, [f"random {count}" for count in COUNTS if count <= 60]
    trial.check(
        hardly_matter(
            table, [arm for arm in arms if table.has(arm)] or arms, trial.claim.bounds["margin"]
        )
    )


@pytest.mark.claim("gradient-increases")
def test_more_high_gradient_tokens_take_away_more(trial, subject):
    table, verdicts = subject.ablations, {}
    counts = [count for count in COUNTS if table.has(f"gradient {count}")] or COUNTS
    for task in TASKS:
        verdict = increases_along(
            table.curves(task, [f"gradient {count}" for count in counts]), counts
        )
        against_random = table.pair(task, f"gradient {counts[-1]}", f"random {counts[-1]}")
        verdicts[task] = beside_negative_control(verdict, *against_random)
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("both-models-agree")
def test_both_models_lose_more_to_the_object_than_to_20_random_tokens(trial, subjects):
    verdicts = {
        f"{each.name}, {task}": greater(*each.ablations.pair(task, "object", "random 20"))
        for each in subjects
        for task in TASKS
    }
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("token-counts")
def test_the_regions_hold_as_many_tokens_as_printed(trial, subject, printed):
    table, margin, verdicts = subject.ablations, trial.claim.bounds["margin"], {}
    for region, count in printed.token_counts.items():
        low, high = count * (1 - margin), count * (1 + margin)
        verdicts[region] = mean_within(
            table.tokens(region), low, high, bounds=(0, subject.visual_tokens), level=0.90
        )
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("table-1-cell")
def test_the_cell_of_table_1_reproduces(trial, subject, cell):
    trial.check(agreement(subject.ablations, 1, subject.name, trial.claim.bounds["margin"])[cell])

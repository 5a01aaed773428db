"""Section 3: is the information about an object localised to its visual tokens?"""

from itertools import pairwise

import pytest

from claimlib import beside_negative_control, beside_positive_control, in_every_setting
from claims.neo2025.arms import COUNTS, REGIONS, elsewhere, gradient, random
from claims.neo2025.cells import agreement
from claims.neo2025.protocol import TASKS


def more_than_elsewhere(trial, table, task, region):
    verdict = trial.claim.rule(table.lost(task, region))
    return beside_negative_control(verdict, *table.pair(task, region, elsewhere(region)))


@pytest.mark.claim("object-impairs")
def test_ablating_the_object_impairs_identification_in_every_setting(trial, subject):
    table = subject.ablations
    verdicts = {task: more_than_elsewhere(trial, table, task, "object") for task in TASKS}
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("object-buffer-70")
def test_ablating_object_and_buffer_takes_away_over_70_percent(trial, subject):
    table = subject.ablations
    verdicts = {task: more_than_elsewhere(trial, table, task, "+1 buffer") for task in TASKS}
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("object-buffer-polling")
def test_ablating_object_and_buffer_takes_away_most_polling_answers(trial, subject):
    trial.check(more_than_elsewhere(trial, subject.ablations, "polling", "+1 buffer"))


@pytest.mark.claim("buffer-order")
def test_a_larger_buffer_takes_away_more(trial, subject):
    table, verdicts = subject.ablations, {}
    for task in TASKS:
        for smaller, larger in pairwise(REGIONS):
            verdict = trial.claim.rule(*table.pair(task, larger, smaller))
            control = table.pair(task, larger, random(larger))
            name = f"{task}, {larger} over {smaller}"
            verdicts[name] = beside_negative_control(verdict, *control)
    trial.check(in_every_setting(verdicts))


def beats(trial, table, baseline, counts):
    """Each region against the baseline with some counts of tokens, under every task."""
    return in_every_setting(
        {
            f"{task}, {region} over {baseline(count)}": trial.claim.rule(
                *table.pair(task, region, baseline(count))
            )
            for task in TASKS
            for region, chosen in counts.items()
            for count in chosen
        }
    )


AS_MANY = {region: (region,) for region in REGIONS}


@pytest.mark.claim("object-beats-gradient")
def test_the_object_costs_more_than_comparably_many_high_gradient_tokens(trial, subject):
    trial.check(beats(trial, subject.ablations, gradient, trial.claim.parameters["counts"]))


@pytest.mark.claim("object-beats-gradient-20")
def test_the_object_costs_more_than_20_high_gradient_tokens(trial, subject):
    trial.check(beats(trial, subject.ablations, gradient, trial.claim.parameters["counts"]))


@pytest.mark.claim("object-beats-gradient-same-count")
def test_the_object_costs_more_than_exactly_as_many_high_gradient_tokens(trial, subject):
    trial.check(beats(trial, subject.ablations, gradient, AS_MANY))


@pytest.mark.claim("object-beats-random")
def test_the_object_costs_more_than_comparably_many_random_tokens(trial, subject):
    trial.check(beats(trial, subject.ablations, random, trial.claim.parameters["counts"]))


@pytest.mark.claim("object-beats-random-same-count")
def test_the_object_costs_more_than_exactly_as_many_random_tokens(trial, subject):
    trial.check(beats(trial, subject.ablations, random, AS_MANY))


def hardly_matter(trial, table, arms):
    """Arms beside the object with a buffer of one, under every task."""
    margin, verdicts = trial.claim.bounds["margin"], {}
    for task in TASKS:
        control = table.lost(task, "+1 buffer")
        for arm in arms:
            verdict = trial.claim.rule(table.lost(task, arm))
            verdicts[f"{task}, {arm}"] = beside_positive_control(verdict, control, margin)
    return in_every_setting(verdicts)


@pytest.mark.claim("register-negligible")
def test_register_tokens_hardly_matter(trial, subject):
    trial.check(hardly_matter(trial, subject.ablations, ["register"]))


@pytest.mark.claim("random-negligible")
def test_random_tokens_hardly_matter(trial, subject):
    table, most = subject.ablations, trial.claim.parameters["most"]
    arms = [random(count) for count in COUNTS if count <= most]
    trial.check(hardly_matter(trial, table, [arm for arm in arms if table.has(arm)] or arms))


@pytest.mark.claim("gradient-increases")
def test_more_high_gradient_tokens_take_away_more(trial, subject):
    table, verdicts = subject.ablations, {}
    counts = [count for count in COUNTS if table.has(gradient(count))] or COUNTS
    for task in TASKS:
        verdict = trial.claim.rule(table.curves(task, [*map(gradient, counts)]), counts)
        control = table.pair(task, gradient(counts[-1]), random(counts[-1]))
        verdicts[task] = beside_negative_control(verdict, *control)
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("both-models-agree")
def test_both_models_lose_more_to_the_object_than_to_20_random_tokens(trial, subjects):
    baseline = random(trial.claim.parameters["count"])
    verdicts = {
        f"{each.name}, {task}": trial.claim.rule(*each.ablations.pair(task, "object", baseline))
        for each in subjects
        for task in TASKS
    }
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("token-counts")
def test_the_regions_hold_as_many_tokens_as_printed(trial, subject, printed):
    table, bounds = subject.ablations, (0, subject.visual_tokens)
    verdicts = {
        region: trial.claim.rule(table.tokens(region), count, scale=count, bounds=bounds)
        for region, count in printed.token_counts.items()
    }
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("table-1-cell")
def test_the_cell_of_table_1_reproduces(trial, subject, cell):
    trial.check(agreement(subject.ablations, subject.name, trial.claim)[cell])

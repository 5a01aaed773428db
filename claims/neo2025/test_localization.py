"""Section 3: is the information about an object localised to its visual tokens?"""

import pytest

from claimlib import (
    beside_negative_control,
    beside_positive_control,
    in_every_setting,
    where_alive,
)
from claims.neo2025.arms import COUNTS, REGIONS, REGISTER, elsewhere, gradient, of_object, random
from claims.neo2025.protocol import FILTERED, TASKS
from claims.neo2025.tables import averaged, beside_cells


def alive(table, task, verdict, *arms):
    """A verdict on arms, each of which changed the tokens that it ablates."""
    for arm in arms:
        verdict = where_alive(verdict, table.alive(task, arm))
    return verdict


def more_than_elsewhere(trial, table, task, region):
    verdict = trial.claim.rule(table.lost(task, region))
    verdict = beside_negative_control(verdict, *table.pair(task, region, elsewhere(region)))
    return alive(table, task, verdict, region, elsewhere(region))


def in_every_task(trial, table, region):
    """A region in every task, and on average over them."""

    def controlled(lost, control):
        return beside_negative_control(trial.claim.rule(lost), lost, control)

    verdicts = {task: more_than_elsewhere(trial, table, task, region) for task in TASKS}
    pairs = [table.pair(task, region, elsewhere(region)) for task in TASKS]
    return in_every_setting(verdicts, on_average=averaged(controlled, pairs))


@pytest.mark.claim("object-impairs")
def test_ablating_the_object_impairs_identification_in_every_setting(trial, subject):
    trial.check(in_every_task(trial, subject.ablations, "object"))


@pytest.mark.claim("object-buffer-70")
def test_ablating_object_and_buffer_takes_away_over_70_percent(trial, subject):
    trial.check(in_every_task(trial, subject.ablations, "+1 buffer"))


@pytest.mark.claim("object-buffer-polling")
def test_ablating_object_and_buffer_takes_away_most_polling_answers(trial, subject):
    trial.check(more_than_elsewhere(trial, subject.ablations, "polling", "+1 buffer"))


@pytest.mark.claim("object-buffer-polling-third")
def test_ablating_object_and_buffer_takes_away_a_third_of_polling_answers(trial, subject):
    trial.check(more_than_elsewhere(trial, subject.ablations, "polling", "+1 buffer"))


@pytest.mark.claim("buffer-order")
def test_a_larger_buffer_takes_away_more(trial, subject):
    table, (*_, largest) = subject.ablations, REGIONS
    verdicts = {}
    for task in TASKS:
        verdict = trial.claim.rule(table.curves(task, REGIONS), range(len(REGIONS)))
        control = table.pair(task, largest, random(largest))
        verdict = beside_negative_control(verdict, *control)
        verdicts[task] = alive(table, task, verdict, *REGIONS, random(largest))
    trial.check(in_every_setting(verdicts))


def beats(trial, table, pairs):
    """Arms against others, by name, under every task, and on average over all of these."""
    both = {
        (task, arm, other): table.pair(task, arm, other) for task in TASKS for arm, other in pairs
    }
    verdicts = {
        f"{task}, {arm} over {other}": alive(table, task, trial.claim.rule(*pair), arm, other)
        for (task, arm, other), pair in both.items()
    }
    average = averaged(trial.claim.rule, list(both.values()))
    return in_every_setting(verdicts, on_average=average)


def as_printed(trial, baseline):
    """Each region with the counts that the claim compares it with."""
    counts = trial.claim.parameters["counts"]
    return [(region, baseline(count)) for region, chosen in counts.items() for count in chosen]


@pytest.mark.claim("object-beats-gradient")
def test_the_object_costs_more_than_comparably_many_high_gradient_tokens(trial, subject):
    trial.check(beats(trial, subject.ablations, as_printed(trial, gradient)))


@pytest.mark.claim("object-beats-gradient-20")
def test_the_object_costs_more_than_20_high_gradient_tokens(trial, subject):
    trial.check(beats(trial, subject.ablations, as_printed(trial, gradient)))


@pytest.mark.claim("object-beats-gradient-same-count")
def test_the_object_costs_more_than_exactly_as_many_high_gradient_tokens(trial, subject):
    pairs = [(region, gradient(region)) for region in REGIONS]
    trial.check(beats(trial, subject.ablations, pairs))


@pytest.mark.claim("object-beats-random")
def test_the_object_costs_more_than_comparably_many_random_tokens(trial, subject):
    trial.check(beats(trial, subject.ablations, as_printed(trial, random)))


@pytest.mark.claim("object-beats-random-same-count")
def test_the_object_costs_more_than_exactly_as_many_random_tokens(trial, subject):
    pairs = [(region, random(region)) for region in REGIONS]
    trial.check(beats(trial, subject.ablations, pairs))


@pytest.mark.claim("object-beats-register")
def test_the_object_costs_more_than_as_many_register_tokens(trial, subject):
    trial.check(beats(trial, subject.ablations, [(of_object(REGISTER), REGISTER)]))


@pytest.mark.claim("register-hardly-matters")
def test_register_tokens_hardly_matter(trial, subject):
    trial.check(beats(trial, subject.ablations, [(REGISTER, "object")]))


@pytest.mark.claim("random-hardly-matters")
def test_random_tokens_hardly_matter(trial, subject):
    trial.check(beats(trial, subject.ablations, [(random(region), region) for region in REGIONS]))


@pytest.mark.claim("register-as-random")
def test_register_tokens_cost_no_more_than_as_many_random_ones(trial, subject):
    table, margin, verdicts = subject.ablations, trial.claim.bounds["margin"], {}
    for task in TASKS:
        verdict = trial.claim.rule(*table.pair(task, REGISTER, random(REGISTER)))
        verdict = beside_positive_control(verdict, table.lost(task, "+1 buffer"), margin)
        verdicts[task] = alive(table, task, verdict, REGISTER, random(REGISTER))
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("gradient-increases")
def test_more_high_gradient_tokens_take_away_more(trial, subject):
    table, verdicts = subject.ablations, {}
    had = [count for count in COUNTS if table.has(gradient(count))]
    counts = had if len(had) > 1 else COUNTS  # of one there is no rise, and another is lacking
    for task in TASKS:
        verdict = trial.claim.rule(table.curves(task, [*map(gradient, counts)]), counts)
        control = gradient(counts[-1]), random(counts[-1])
        verdict = beside_negative_control(verdict, *table.pair(task, *control))
        verdicts[task] = alive(table, task, verdict, *control)
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("both-models-agree")
def test_both_models_lose_more_to_the_object_than_to_20_random_tokens(trial, subjects):
    other, verdicts = random(trial.claim.parameters["count"]), {}
    for each in subjects:
        for task in TASKS:
            verdict = trial.claim.rule(*each.ablations.pair(task, "object", other))
            verdict = alive(each.ablations, task, verdict, "object", other)
            verdicts[f"{each.name}, {task}"] = verdict
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("token-counts")
def test_the_regions_hold_as_many_tokens_as_printed(trial, subject, printed):
    table, bounds = subject.ablations, (0, subject.visual_tokens)
    verdicts = {
        region: trial.claim.rule(table.tokens(region), count, scale=count, bounds=bounds)
        for region, count in printed.token_counts.items()
    }
    trial.check(in_every_setting(verdicts))


@pytest.mark.claim("table-1")
def test_table_1_reproduces(trial, subject, printed):
    """On the paper's own questions VQA is a repetition, and no sample of other images."""
    cells = [cell for cell in printed.ablations.cells if cell[0] in FILTERED or not subject.own]
    trial.check(beside_cells(trial.claim.rule, subject.ablations, printed.ablations, cells))

"""Names with a switch: what an ablation is made from, what it shares with the study, and what is refused."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from clinical_peft.config import ablations
from clinical_peft.config.experiments import feature_set, finetune_job, load_study, pretrain_job
from clinical_peft.config.layers import deep_merge
from clinical_peft.errors import ConfigError
from clinical_peft.recipes.switches import SWITCHES, name_protocol

BOTH = "llama+clinical-trainable+downstream"
ADAPTER = "tiny-llama-lora"
FOUR = {"unadapted": "llama", "adapted": BOTH, "matched": BOTH, "disjoint": BOTH}


def study(pytestconfig, **changes):
    content = yaml.safe_load((pytestconfig.rootpath / "config" / "config.yaml").read_text())
    return load_study(deep_merge(content, {"gaps": {"model": BOTH, "tasks": ["los", "procedures"]}}, changes))


@pytest.fixture(scope="module")
def measured(pytestconfig):
    return study(pytestconfig)


def test_a_switch_is_of_data_or_of_training():
    for switch in SWITCHES.values():
        assert switch.is_of_data or set(switch.stages) <= {"shards", "adapter", "model"}


@given(switch=st.sampled_from(sorted(SWITCHES)), name=st.sampled_from(["los", BOTH, ADAPTER, "mimic-iv"]))
def test_a_name_turns_on_its_switch_alone(measured, switch, name):
    values = ablations.switches_under(measured, f"{name}@{switch}")
    assert [key for key, value in values.items() if value] == [switch]
    assert ablations.plain(f"{name}@{switch}") == name
    assert ablations.switch_of(f"{name}@{switch}") == switch


def test_paper_turns_on_all_and_no_switch_none(measured):
    assert all(ablations.switches_under(measured, "los@paper").values())
    assert ablations.switches_under(measured, "los") == measured.resolved_switches


@pytest.mark.parametrize(
    ("switch", "model", "cohort", "adapter", "shards", "notes", "admission"),
    [
        ("notes_flattened", True, False, True, True, True, False),
        ("truncate_and_pad", True, False, True, True, False, False),
        ("sections_unanchored", False, True, False, False, False, True),
        ("los_rounded", False, True, False, False, False, False),
        ("warmup_as_steps", True, False, True, False, False, False),
        ("pool_last_position", True, False, False, False, False, False),
        ("paper", True, True, True, True, True, True),
    ],
)
def test_an_ablation_shares_what_its_switch_does_not_reach(
    measured, switch, model, cohort, adapter, shards, notes, admission
):
    ablation = next(
        ablation
        for ablation in ablations.ablations_in_use(measured)
        if (ablation.switch, ablation.task) == (switch, "los")
    )
    corpus = ablations.shards_of_adapter(measured, ablation.adapter)
    found = [
        ablation.model,
        ablation.cohort,
        ablation.adapter,
        corpus,
        ablations.notes_of_shards(corpus),
        ablations.admission_notes_of(ablation.cohort),
    ]
    assert [name.endswith(f"@{switch}") for name in found] == [model, cohort, adapter, shards, notes, admission]
    assert [ablations.plain(name) for name in found] == [BOTH, "los", ADAPTER, "mimic-iv", "mimic-iv", "admission"]


def test_jobs_under_a_switch_differ_in_it_and_names_alone(measured):
    job, ablation = (finetune_job(measured, name, "los") for name in (BOTH, f"{BOTH}@unclipped"))
    assert ablation.switches == job.switches | {"unclipped": True}
    assert (ablation.model, ablation.clinical) == (f"{BOTH}@unclipped", f"{ADAPTER}@unclipped")
    assert (ablation.recipe, ablation.task, ablation.task_method) == (job.recipe, job.task, job.task_method)
    adapter = pretrain_job(measured, ablation.clinical)
    assert adapter.switches["unclipped"]
    assert (adapter.recipe, adapter.method) == (
        pretrain_job(measured, ADAPTER).recipe,
        pretrain_job(measured, ADAPTER).method,
    )


def test_a_run_names_its_protocol(measured):
    assert ablations.protocol_of_run(measured, BOTH, "los") == "corrected"
    assert ablations.protocol_of_run(measured, f"{BOTH}@unclipped", "los") == "corrected with unclipped"
    assert ablations.protocol_of_run(measured, BOTH, "los@los_rounded") == "corrected with los_rounded"
    assert ablations.protocol_of_run(measured, f"{BOTH}@paper", "los@paper") == "paper"
    assert name_protocol(dict.fromkeys(SWITCHES, True) | {"unclipped": False}) == "paper without unclipped"


def test_a_head_under_a_switch_reads_no_pooled_notes_of_another(measured):
    assert feature_set(measured, "llama", "los")
    assert feature_set(measured, "llama", "los@marks_kept") is None
    assert feature_set(measured, "llama@pool_last_position", "los") is None


def test_a_switch_has_no_ablation_where_it_changes_nothing(measured):
    found = {(ablation.switch, ablation.task) for ablation in ablations.ablations_in_use(measured)}
    assert ("los_rounded", "los") in found
    assert ("los_rounded", "procedures") not in found
    assert ("death_phrases_original", "los") not in found
    untouched = ablations.untouched_tasks(measured)
    assert untouched["death_phrases_original"] == ["los", "procedures"]
    assert untouched["los_rounded"] == ["procedures"]
    assert "unclipped" not in untouched
    every = {(switch, task) for switch in SWITCHES for task in ("los", "procedures")}
    assert found | {(switch, task) for switch, tasks in untouched.items() for task in tasks} == every | {
        (ablations.ALL, "los"),
        (ablations.ALL, "procedures"),
    }


def test_a_model_without_adapters_has_no_ablation_of_theirs(pytestconfig):
    head = study(pytestconfig, gaps={"model": "llama"})
    assert {ablation.switch for ablation in ablations.ablations_in_use(head)}.isdisjoint(
        {"notes_flattened", "truncate_and_pad", "task_adapter_inactive"}
    )
    assert all(ablation.adapter is None for ablation in ablations.ablations_in_use(head))
    encoder = study(pytestconfig, gaps={"model": "bert+lora"})
    assert "pool_last_position" not in {ablation.switch for ablation in ablations.ablations_in_use(encoder)}


def test_a_study_without_gaps_has_none(pytestconfig):
    assert ablations.ablations_in_use(study(pytestconfig, gaps={"model": None})) == []


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"gaps": {"model": "nobody"}}, "gaps.model: expected a model of matrix.models, found 'nobody'"),
        ({"gaps": {"switches": ["louder"]}}, "gaps.switches: 'louder' is not a switch; expected one of "),
        ({"gaps": {"tasks": ["pmv"]}, "matrix": {"tasks": ["los"]}},
         "gaps.tasks: expected tasks of matrix.tasks, found 'pmv'"),
        ({"protocol": "paper"}, "gaps.model: switches are turned on one by one on protocol corrected; found paper"),
        (
            {"gaps": {"contamination": {**FOUR, "adapted": "llama+lora"}}},
            "gaps.contamination.adapted: expected a model whose clinical adapter is trained on mimic-iv, found "
            "'llama+lora' with no clinical adapter",
        ),
        (
            {"gaps": {"contamination": FOUR}},
            "gaps.contamination.disjoint: expected a model whose clinical adapter is trained on mimic-iii-disjoint, "
            f"found '{BOTH}' with mimic-iv",
        ),
        (
            {"gaps": {"contamination": FOUR}, "contamination": "carevue"},
            "gaps.contamination: needs tasks of mimic-iii and contamination paper",
        ),
    ],
)  # fmt: skip
def test_effects_that_cannot_be_measured_are_refused(pytestconfig, changes, expected):
    with pytest.raises(ConfigError) as error:
        study(pytestconfig, **changes)
    assert expected in str(error.value)
    assert "\n" not in str(error.value)

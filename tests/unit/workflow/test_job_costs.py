"""What single jobs cost by the plan."""

import pytest
from study_fixtures import study_of

from clinical_peft.workflow.job_costs import device_seconds
from clinical_peft.workflow.plan import plan
from clinical_peft.workflow.study_files import StudyFiles


@pytest.mark.parametrize("name", ["tiny.yaml", "config.yaml", "paper.yaml"])
def test_costs_of_jobs_add_up_to_the_plan(name: str):
    study = study_of(name)
    costs = device_seconds(StudyFiles(study))
    planned = sum(stage.tokens for stage in plan(study)) / study.budget.tokens_per_second
    assert sum(costs.values()) == pytest.approx(planned)
    assert min(costs.values()) > 0


def test_workers_share_the_cost_of_a_search():
    costs = device_seconds(StudyFiles(study_of("search.yaml")))
    shares = [costs[f"results/search/search/adapters/tiny-llama-lora/worker{worker}.json"] for worker in (0, 1)]
    assert shares[0] == shares[1] > 0

"""README's results section: what the committed summary says, of the study that the config describes."""

import json
from pathlib import Path

import pytest
import yaml

from clinical_peft.config.experiments import adapters_in_use, load_study, runs_in_use
from clinical_peft.config.settings import deciding_settings, settings_digest
from clinical_peft.errors import DataError
from clinical_peft.report.planted_effect import opening
from clinical_peft.report.readme_results import BEGIN, END, README, SUMMARY, main, section, summarise, with_section

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def summary():
    return json.loads((REPOSITORY / SUMMARY).read_text())


def test_the_readme_shows_the_committed_summary(summary):
    readme = (REPOSITORY / README).read_text(encoding="utf-8")
    assert section(summary) in readme, "run `make readme-results`"
    assert opening(summary) in readme, "run `make readme-results`"
    assert summary["planted"]


# Whoever changes a default need not run the demo before `make unit`.
@pytest.mark.slow
def test_the_summary_is_of_the_demo_study_as_it_is_now(summary):
    study = load_study(yaml.safe_load((REPOSITORY / "config/config.yaml").read_text()))
    runs = [(row["model"], task) for row in summary["models"] for task in row["auroc"] if task != "macro_average"]
    assert sorted(runs) == sorted(runs_in_use(study)), "run `make demo` and `make readme-results`"
    assert [row["adapter"] for row in summary["adapters"]] == adapters_in_use(study)
    assert {row["model"]: row["label"] for row in summary["models"]} == {
        name: study.models[name].label for name in study.matrix.models
    }
    assert summary["seeds"] == [len(study.matrix.seeds)]
    digest = settings_digest(deciding_settings(study))
    assert summary["settings_sha256"] == digest, "config/config.yaml has changed: `make demo` and `make readme-results`"


@pytest.fixture
def config():
    return yaml.safe_load((REPOSITORY / "config/config.yaml").read_text())


def digest_of(config):
    settings = deciding_settings(load_study(config))
    assert settings_digest(json.loads(json.dumps(settings))) == settings_digest(settings)
    return settings_digest(settings)


@pytest.mark.parametrize(
    ("path", "value", "changes"),
    [
        (("finetuning", "epochs"), 1, True),
        (("pretraining", "learning_rate"), 1e-4, True),
        (("synthetic", "seed"), 7, True),
        (("evaluation", "resamples"), 170, True),
        (("switches",), {"los_rounded": True}, True),
        (("matrix", "seeds"), [5], True),
        (("finetuning", "checkpoint_seconds"), 17.0, False),
        (("study",), "another", False),
        (("tracking",), {"artifacts": False}, False),
    ],
)
def test_the_digest_follows_what_changes_results_alone(config, path, value, changes):
    before = digest_of(config)
    section = config
    for key in path[:-1]:
        section = section.setdefault(key, {})
    section[path[-1]] = value
    assert (digest_of(config) != before) == changes


def write_tables(folder):
    tables = folder / "tables"
    tables.mkdir(parents=True)
    head = "model,label,task,auroc_percent,low_percent,high_percent,level,seeds\n"
    rows = "llama,LLaMA,los,71.25,68.0,75.0,0.95,2\nllama,LLaMA,macro_average,71.25,68.0,75.0,0.95,2\n"
    (tables / "downstream_main.csv").write_text(head + rows + "llama,LLaMA,control,,,,0.95,\n")
    (tables / "downstream_lora_baselines.csv").write_text(head)
    (tables / "uncertainty.csv").write_text("kind,task,first,second\nmodel,los,llama,\n")
    (folder / "settings.json").write_text('{"seed": 1}')
    (tables / "domain_adaptation.csv").write_text(
        "adapter,label,trainable_percent,test_perplexity_before,test_perplexity_after\nlora,LoRA,5.473,522.03,14.39\n"
    )


def test_a_study_becomes_a_section_between_its_marks(tmp_path, monkeypatch):
    write_tables(tmp_path / "results")
    (tmp_path / "README.md").write_text(f"# Title\n\n{BEGIN}\nold\n{END}\n\nrest\n")
    monkeypatch.chdir(tmp_path)
    assert main(["results"]) == 0
    text = (tmp_path / "README.md").read_text()
    assert text.startswith("# Title\n")
    assert text.endswith("\n\nrest\n")
    assert "| model | LOS | mean |" in text
    assert "| LLaMA | 71.2 | 71.2 (68.0 to 75.0) |" in text
    assert "| LoRA | 5.47 | 522.0 | 14.4 |" in text
    assert "old" not in text
    assert main(["results"]) == 0
    assert (tmp_path / "README.md").read_text() == text


def test_what_is_missing_is_named(tmp_path):
    write_tables(tmp_path / "study")
    (tmp_path / "study/settings.json").unlink()
    with pytest.raises(DataError, match=r"settings\.json: expected the settings of a finished study.*make demo"):
        summarise(tmp_path / "study")
    with pytest.raises(DataError, match=r"downstream_main\.csv: expected a table of a finished study.*make demo"):
        summarise(tmp_path)
    with pytest.raises(DataError, match=r"README\.md: expected the lines"):
        with_section("# no marks\n", f"{BEGIN}\n{END}")

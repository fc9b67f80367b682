"""The Snakemake commands that the command line types."""

import pytest

from clinical_peft.errors import ConfigError
from clinical_peft.workflow.commands import as_typed, snakefile_words, snakemake_words
from clinical_peft.workflow.opened_study import CLONE, open_study

STUDY = CLONE / "config" / "tiny.yaml"


@pytest.fixture
def clone(monkeypatch):
    monkeypatch.chdir(CLONE)


def words(*options: str) -> list[str]:
    return snakemake_words(STUDY, options)[:-1]  # without the path of the study


@pytest.mark.usefixtures("clone")
@pytest.mark.parametrize(
    ("options", "typed"),
    [
        ((), "snakemake --cores all --configfile"),
        (("tables",), "snakemake --cores all tables --configfile"),
        (("tables", "--cores", "4"), "snakemake tables --cores 4 --configfile"),
        (("-c4",), "snakemake -c4 --configfile"),
        (("--cores=4", "-n"), "snakemake --cores=4 -n --configfile"),
        (("--workflow-profile", "profiles/slurm"), "snakemake --workflow-profile profiles/slurm --configfile"),
        (("--forcerun", "finetune_model"), "snakemake --cores all --forcerun finetune_model --configfile"),
        (("--config", "seed=3"), "snakemake --cores all --config seed=3 --configfile"),
    ],
)
def test_the_study_stands_last(options, typed):
    assert as_typed(words(*options)) == typed


@pytest.mark.usefixtures("clone")
def test_the_default_study_needs_no_configfile():
    assert snakemake_words(CLONE / "config" / "config.yaml") == ["snakemake", "--cores", "all"]


def test_elsewhere_the_snakefile_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert snakefile_words() == ["--snakefile", str(CLONE / "Snakefile")]


@pytest.mark.parametrize("option", ["--configfile", "--configfiles", "--configfile=other.yaml"])
def test_a_second_study_is_refused(option):
    with pytest.raises(ConfigError, match="expected options of Snakemake without a study"):
        words(option)


def test_a_missing_study_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match=r"gone\.yaml: expected a study file, found none"):
        snakemake_words(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match=r"gone\.yaml: expected a study file, found none"):
        open_study(tmp_path / "gone.yaml")


def test_a_package_without_its_workflow_is_one_line(tmp_path):
    with pytest.raises(ConfigError, match="expected the workflow, found none"):
        snakemake_words(STUDY, clone=tmp_path)


def test_an_opened_study_knows_what_will_not_run(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("study: mine\nmethods: {more: {label: M, settings: {type: lora, r: 1}}}\n")
    opened = open_study(path)
    assert str(opened.results) == "results/mine"
    assert opened.notices == ["mine.yaml: defined, but not in the matrix, so not run: methods more"]
    assert open_study(CLONE / "config" / "config.yaml").notices == []

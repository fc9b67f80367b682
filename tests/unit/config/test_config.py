"""The configuration: every study is valid, errors name the key, the committed schema is current."""

from pathlib import Path

import pytest
import yaml

from clinical_peft.config import experiments, notes_in_use
from clinical_peft.config.layers import deep_merge
from clinical_peft.config.schema import schema_text
from clinical_peft.config.selected_adapters import adapter_labels
from clinical_peft.config.study import renamed_keys
from clinical_peft.errors import ConfigError
from clinical_peft.recipes.switches import SWITCHES, resolve_switches

CONFIG = Path(__file__).parents[3] / "config"
STUDIES = sorted(CONFIG.glob("*.yaml"))


def read(name: str) -> dict:
    return yaml.safe_load((CONFIG / name).read_text())


def study(*overrides: dict):
    return experiments.load_study(deep_merge(read("config.yaml"), *overrides))


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_committed_study_is_valid(path):
    loaded = study(yaml.safe_load(path.read_text()))
    assert loaded.study == ("demo" if path.stem == "config" else path.stem)
    assert experiments.bases_in_use(loaded)


def test_schema_is_current():
    assert (CONFIG / "schema.json").read_text() == schema_text(), "run `make schema`"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ({"study": "a" * 101}, "study: String should have at most 100 characters"),
        ({"protocoll": "paper"}, "unknown key protocoll"),
        ({"data": {"mimic": "/x"}}, "unknown key data.mimic"),
        ({"seed": "many"}, "seed: "),
        ({"matrix": {"seeds": [True]}}, "matrix.seeds.0: expected a whole number (found True)"),
        ({"evaluation": {"resamples": True}}, "evaluation: resamples: expected a number, found true"),
        ({"matrix": {"tasks": ["readmission"]}}, "matrix.tasks"),
        ({"matrix": {"models": ["gpt"]}}, "matrix.models: 'gpt' is not among the models"),
        ({"matrix": {"models": ["llama", "llama"]}}, "matrix.models: lists a name twice"),
        ({"models": {"m": {"base": "tiny-llama", "label": "m", "clinical": "none", "clinical_mode": "frozen"}}},
         "models.m.clinical: 'none' is not among the adapters"),
        ({"models": {"m": {"base": "tiny-bert", "label": "m", "clinical": "tiny-llama-lora",
                           "clinical_mode": "frozen"}}},
         "belongs to base 'tiny-llama', not 'tiny-bert'"),
        ({"models": {"m": {"base": "tiny-llama", "label": "m", "clinical": "tiny-llama-lora"}}}, "go together"),
        ({"adapters": {"a": {"base": "tiny-bert", "method": "lora"}}}, "is not a causal language model"),
        ({"switches": {"los_round": True}}, "switches.los_round"),
        ({"finetuning": {"learning_rates": 1}}, "learning_rates"),
        ({"finetuning": {"batch_size": 10, "micro_batch_size": 4}}, "micro_batch_size must divide batch_size"),
        ({"tasks": {"los": {"recipe": {"epochs": 0}}}}, "epochs must be at least 1"),
        ({"methods": {"lora": {"settings": {"rank": 3}}}}, "methods.lora.settings.rank: unknown key; lora has r, al"),
        ({"adapters": {"tiny-llama-lora": {"recipe": {"context": 32}}}}, "differ in context (32, 128)"),
        ({"data": {"pmv_split": "beep"}}, "data: pmv_split: beep and pmv_labels go together"),
        ({"data": {"pmv_labels": "labels.pkl"}}, "go together"),
        ({"data": {"pmv_split": "random"}}, "data.pmv_split"),
        ({"data": {"splits": {"temporal": {"validation": "2014 - 2016", "test": "2017 - 2019"}}}},
         "data.splits: temporal is for MIMIC-IV; dates of MIMIC-III are shifted per patient"),
        ({"data": {"splits": {"temporal": {"validation": "2014 - 2016"}}}}, "missing key data.splits.temporal.test"),
        ({"data": {"splits": {"random": 1}}}, "unknown key data.splits.random"),
        ({"data": {"note_files": {"general": {"path": "x"}}}}, "this name is taken"),
        ({"data": {"general_corpus": "mimic-iv"}}, "data.general_corpus: 'mimic-iv' is not among the corpora"),
        ({"methods": {"prefix-tuning": {"settings": {"num_virtual_tokens": 128}}}},
         "adapters.tiny-llama-prefix-tuning (method prefix-tuning): num_virtual_tokens is 128, but the recipe's "
         "context is 128"),
        ({"pretraining": {"train_evaluation_tokens": 0}}, "train_evaluation_tokens must be positive or null"),
        ({"pretraining": {"patience": 0}}, "patience must be at least 1 or null"),
        ({"pretraining": {"replay": 1.0}}, "replay must be in [0, 1)"),
        ({"bases": {"tiny-llama": {"source": {"shape": {"heads": 32}}}}},
         "bases.tiny-llama: source.shape: hidden_size / heads must be even"),
        ({"bases": {"tiny-bert": {"source": {"recipe": {"context": 257}}}}},
         "bases.tiny-bert: source.recipe.context: is 257, but the shape's is 256"),
        ({"bases": {"tiny-llama": {"source": {"recipe": {"replay": 0.1}}}}}, "not for a base trained from scratch"),
        ({"bases": {"tiny-llama": {"source": {"recipe": {"precision": "nf4"}}}}},
         "not for a base trained from scratch"),
        ({"matrix": {"adapters": ["tiny-llama-full"]}, "pretraining": {"precision": "nf4"}},
         "adapters.tiny-llama-full: full fine-tuning cannot train a base in nf4"),
        ({"finetuning": {"precision": "nf4"}}, "models.bert: precision nf4 holds matrices that are neither trained"),
        ({"models": {"m": {"base": "tiny-llama", "label": "m", "clinical": "tiny-llama-full",
                           "clinical_mode": "frozen"}}},
         "models.m.clinical: 'tiny-llama-full' is a whole network, trained by full fine-tuning"),
        ({"models": {"m": {"base": "tiny-llama", "label": "m", "clinical": "tiny-llama-lora",
                           "clinical_mode": "frozen", "task_method": "dora"}}},
         "models.m.task_method: 'dora': DoRA cannot follow a clinical adapter"),
        ({"methods": {"lora": {"settings": {"r": 0}}}}, "methods.lora.settings: r must be at least 1, found 0"),
        ({"methods": {"lora": {"settings": {"dropout": 1.0}}}}, "dropout must be in [0, 1)"),
        ({"methods": {"lora": {"settings": {"target_modules": []}}}}, "target_modules must name at least one"),
        ({"methods": {"adalora": {"settings": {"interval": 0}}}}, "interval must be at least 1"),
        ({"methods": {"adalora": {"settings": {"final_ratio": 1.0}}}}, "final_ratio must be in [0, 1)"),
        ({"methods": {"adaption-prompt": {"settings": {"adapter_len": 0}}}}, "adapter_len must be at least 1"),
        ({"methods": {"prefix-tuning": {"settings": {"num_virtual_tokens": 0}}}}, "num_virtual_tokens must be at"),
        ({"methods": {"prompt-tuning": {"settings": {"num_virtual_tokens": 0}}}}, "num_virtual_tokens must be at"),
        ({"methods": {"p-tuning": {"settings": {"layers": 0}}}}, "methods.p-tuning.settings: layers must be"),
        ({"tasks": {"los": {"task_adapter": {"r": 0}}}}, "tasks.los.task_adapter: r must be at least 1, found 0"),
        ({"finetuning": {"batch_size": 0}}, "batch_size must be at least 1, found 0"),
        ({"finetuning": {"head_learning_rate": -1.0}}, "head_learning_rate must be positive and finite, or null"),
        ({"pretraining": {"learning_rate": float("inf")}}, "learning_rate must be positive and finite"),
        ({"matrix": {"seeds": [-1]}}, "matrix.seeds.0: "),
        ({"matrix": {"seeds": [1, 0, 1]}}, "matrix.seeds: lists a seed twice"),
        ({"seed": 2**32}, "seed: Input should be less than"),
        ({"search": {"seed": -1}}, "search.seed: "),
        ({"hub": {"revisions": {"nobody": "main"}}}, "hub.revisions: 'nobody' is not among the adapters"),
        ({"models": {"m": {"kind": "tfidf", "label": "m", "clinical_mode": "frozen"}}}, "no base and no adapter"),
        ({"pretraining": {"contxt": 3}}, "unknown key pretraining.contxt"),
        ({"methods": {"dora": {"settings": {"type": "boft"}}}}, "methods.dora.settings.type: expected one of lora, "),
        ({"methods": {"dora": {"recipe": {"epoch": 3}}}}, "unknown key methods.dora.recipe.epoch"),
        ({"methods": {"task-lora": {"recipe": {"epoch": 3}}}}, "unknown key methods.task-lora.recipe.epoch"),
        ({"pretraining": {"train_tokens": "1e6"}}, "pretraining.train_tokens: Input should be a valid integer"),
        ({"models": {"llama": {"task_recipes": {"los": {"epochs": "two"}}}}}, "models.llama.task_recipes.los.epochs: "),
        ({"cohorts": {"source": "mimic-2"}}, "cohorts.source: "),
        ({"cohorts": {"icd": "only-9"}}, "cohorts: icd is for the source mimic-iv"),
        ({"cohorts": {"ventilation": "adjusted"}}, "cohorts: ventilation is for the source mimic-iv"),
        ({"cohorts": {"source": "mimic-iv", "ventilation": "elapsed"}}, "cohorts.ventilation: Input should be"),
        ({"cohorts": {"source": "mimic-iv", "icd": "both"}}, "cohorts.icd: "),
        ({"cohorts": {"source": "mimic-iv", "icd": "map-to-9"}}, "map-to-9 needs icd_map, a CSV file with the columns"),
        ({"cohorts": {"source": "mimic-iv", "icd_map": "x.csv"}}, "icd_map is for icd: map-to-9, not for separate"),
        ({"cohorts": {"source": "mimic-iv"}, "protocol": "paper"}, "switches.sections_unanchored: is for cohorts of"),
        ({"cohorts": {"source": "mimic-iv"}, "switches": {"procedure_codes_as_integers": True}},
         "switches.procedure_codes_as_integers: is for cohorts of MIMIC-III"),
        ({"cohorts": {"source": "mimic-iv"}, "data": {"pmv_split": "beep", "pmv_labels": "x.pkl"}},
         "data.pmv_split: beep lists admissions of MIMIC-III"),
        ({"cohorts": {"source": "mimic-iv"}, "contamination": "carevue"}, "contamination: carevue divides patients of"),
    ],
)  # fmt: skip
def test_a_wrong_configuration_is_one_message_naming_the_key(override, expected):
    with pytest.raises(ConfigError) as caught:
        study(override)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_general_text_is_the_studys_or_of_its_own_bases():
    demo = study()
    assert experiments.general_corpus(demo, "tiny-llama") == "general"
    real = study(read("mtsamples.yaml"))
    assert experiments.general_corpus(real, "smollm2") is None
    named = study(read("mtsamples.yaml"), {"data": {"general_corpus": "mtsamples"}})
    assert experiments.general_corpus(named, "smollm2") == "mtsamples"
    with pytest.raises(ConfigError, match=r"adapters\.smollm2-mtsamples: recipe\.replay needs general text"):
        study(read("mtsamples.yaml"), {"pretraining": {"replay": 0.1}})


def test_general_text_is_split_as_its_bases_were():
    disjoint = study(read("disjoint.yaml"))
    for name in experiments.adapters_in_use(disjoint):
        job = experiments.pretrain_job(disjoint, name)
        assert job.general_salt == disjoint.data.split_salt != job.split_salt


def test_a_protocol_sets_every_switch_and_studies_override():
    assert all(resolve_switches("paper", {}).values())
    assert not any(resolve_switches("corrected", {}).values())
    assert study({"protocol": "paper", "switches": {"los_rounded": False}}).resolved_switches == {
        name: name != "los_rounded" for name in SWITCHES
    }


def test_deep_merge_merges_mappings_and_replaces_lists():
    merged = deep_merge({"a": {"b": 1, "c": [1, 2]}, "d": 1}, {"a": {"c": [3]}}, {"d": {"e": 2}})
    assert merged == {"a": {"b": 1, "c": [3]}, "d": {"e": 2}}


def test_deep_merge_leaves_its_arguments_alone():
    low, high = {"a": {"b": 1}}, {"a": {"c": 2}}
    deep_merge(low, high)
    assert (low, high) == ({"a": {"b": 1}}, {"a": {"c": 2}})


def test_recipe_layers_are_default_task_model_model_task():
    layered = study(
        {
            "finetuning": {"epochs": 2, "context": 64, "batch_size": 16, "weight_decay": 0.1},
            "tasks": {"los": {"recipe": {"context": 80, "weight_decay": 0.2, "clip_norm": 2.0}}},
            "models": {"llama+lora": {"recipe": {"weight_decay": 0.3}, "task_recipes": {"los": {"clip_norm": 3.0}}}},
        }
    )
    recipe = experiments.finetune_job(layered, "llama+lora", "los").recipe
    assert (recipe.epochs, recipe.context, recipe.weight_decay, recipe.clip_norm) == (2, 80, 0.3, 3.0)
    assert experiments.finetune_job(layered, "llama+lora", "pmv").recipe.context == 64


def test_a_task_may_override_the_task_adapter():
    changed = study({"tasks": {"los": {"task_adapter": {"r": 3}}}})
    los = experiments.finetune_job(changed, "llama+lora", "los").task_method
    pmv = experiments.finetune_job(changed, "llama+lora", "pmv").task_method
    assert los is not None
    assert pmv is not None
    assert (los.r, pmv.r) == (3, 8)


def test_adapters_needed_by_models_are_in_use():
    chosen = study({"matrix": {"adapters": [], "models": ["llama+clinical-frozen"]}})
    assert experiments.adapters_in_use(chosen) == ["tiny-llama-lora"]
    assert experiments.bases_in_use(chosen) == ["tiny-llama"]
    assert experiments.corpora_in_use(chosen) == ["mimic-iv"]


def test_adapters_have_distinct_labels():
    labels = adapter_labels(study(read("gaps.yaml")))
    assert len(set(labels.values())) == len(labels) == 4
    assert labels["tiny-llama-matched"].endswith("LoRA of embeddings and projections, mimic-iii-matched")
    twin = {"base": "tiny-llama", "method": "lora", "recipe": {"epochs": 1}}
    twins = study({"adapters": {"twin": twin}, "matrix": {"adapters": ["tiny-llama-lora", "twin"], "models": []}})
    assert list(adapter_labels(twins).values()) == [
        "LLaMA (tiny, trained here): LoRA (tiny-llama-lora)", "LLaMA (tiny, trained here): LoRA (twin)"]  # fmt: skip


def test_real_weights_on_synthetic_notes_need_consent():
    paper = study(read("paper.yaml"))
    with pytest.raises(ConfigError, match="synthetic"):
        notes_in_use.check_runnable(paper)
    notes_in_use.check_runnable(study(read("smollm2.yaml")))
    notes_in_use.check_runnable(study(read("mtsamples.yaml")))
    notes_in_use.check_runnable(study())


def test_notes_of_a_file_are_real_beside_synthetic_cohorts():
    files = {"data": {"note_files": {"own": {"path": "/notes.jsonl"}}}}
    assert notes_in_use.all_adapters_of_synthetic_notes(study())
    assert notes_in_use.all_adapters_of_synthetic_notes(study(files))
    mixed = study(files, {"adapters": {"mine": {"base": "tiny-llama", "method": "lora", "corpus": "own"}}},
                  {"matrix": {"adapters": ["mine"]}})  # fmt: skip
    assert notes_in_use.reads_synthetic_notes(mixed)
    assert not notes_in_use.all_adapters_of_synthetic_notes(mixed)
    assert notes_in_use.reads_hospital(mixed)
    assert not notes_in_use.reads_hospital(study(read("mtsamples.yaml")))


def test_outcomes_from_mimic_iv():
    cohorts = study({"cohorts": {"source": "mimic-iv"}}).cohorts
    assert (cohorts.icd, cohorts.icd_map) == ("separate", None)
    cohorts = study({"cohorts": {"source": "mimic-iv", "icd": "map-to-9", "icd_map": "~/gem.csv"}}).cohorts
    assert cohorts.icd_map == Path("~/gem.csv").expanduser()
    switches = {"sections_unanchored": False, "procedure_codes_as_integers": False}
    assert study({"cohorts": {"source": "mimic-iv"}, "protocol": "paper", "switches": switches}).protocol == "paper"


def test_environment_variables_in_paths_are_replaced(monkeypatch):
    monkeypatch.setenv("NOTES", "/somewhere")
    loaded = study({"data": {"note_files": {"mine": {"path": "$NOTES/x.jsonl"}}}})
    assert loaded.data.note_files["mine"].path == Path("/somewhere/x.jsonl")


def test_a_task_can_be_left_to_some_models():
    everything = study()
    some = study({"tasks": {"mortality": {"models": ["tfidf"]}}})
    left_out = set(experiments.runs_in_use(everything)) - set(experiments.runs_in_use(some))
    assert left_out == {(model, "mortality") for model in everything.matrix.models if model != "tfidf"}
    with pytest.raises(ConfigError, match=r"tasks\.mortality\.models: 'tfidff' is not among the models"):
        study({"tasks": {"mortality": {"models": ["tfidff"]}}})


def test_a_base_is_read_as_far_as_the_longest_context_in_use():
    longer = {"finetuning": {"context": 99}, "pretraining": {"context": 64}, "models": {"llama": {"recipe": {}}}}
    assert experiments.longest_reading(study(longer), "tiny-llama") == 99
    prompted = {"pretraining": {"context": 120}, "finetuning": {"context": 99}}
    prompted["methods"] = {"prompt": {"settings": {"type": "prompt_tuning", "num_virtual_tokens": 7}, "label": "P"}}
    prompted["adapters"] = {"tiny-llama-prompted": {"base": "tiny-llama", "method": "prompt", "corpus": "mimic-iv"}}
    prompted["matrix"] = {"adapters": ["tiny-llama-prompted"]}
    assert experiments.longest_reading(study(prompted), "tiny-llama") == 127
    assert experiments.longest_reading(study({"matrix": {"adapters": [], "models": []}}), "tiny-llama") is None


def title_of(task: str, *overrides: dict) -> str | None:
    return study(*overrides).tasks[task].title


def test_a_task_may_have_a_title_of_its_own_and_needs_none():
    assert title_of("los") is None
    assert title_of("los", {"tasks": {"los": {"title": "Days in hospital"}}}) == "Days in hospital"


def test_label_is_the_earlier_name_of_a_tasks_title():
    written = {"tasks": {"los": {"label": "Days in hospital"}, "pmv": {}}}
    assert title_of("los", written) == "Days in hospital"
    assert list(renamed_keys(written)) == ["tasks.los.label is now tasks.los.title; the earlier name still works"]
    assert list(renamed_keys({"tasks": {"los": {"title": "Days in hospital"}}})) == []
    with pytest.raises(ConfigError, match=r"tasks\.los: expected only title, found also label, its earlier name"):
        study({"tasks": {"los": {"label": "Days", "title": "Days in hospital"}}})

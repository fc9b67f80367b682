"""A study's file is read with one line for whatever is wrong, and compared with its matrix."""

import os
from pathlib import Path

import pytest
import yaml

from clinical_peft.config.experiments import load_study
from clinical_peft.config.layers import deep_merge
from clinical_peft.errors import ConfigError
from clinical_peft.workflow import study_file
from clinical_peft.workflow.study_file import (
    check_command_line,
    files_of_command,
    notices,
    read_study_file,
    unused_entries,
)

CONFIG = Path(__file__).parents[3] / "config"


@pytest.mark.parametrize("path", sorted(CONFIG.glob("*.yaml")), ids=lambda path: path.name)
def test_a_study_of_the_repository_is_read_as_yaml_reads_it(path):
    assert read_study_file(path) == yaml.safe_load(path.read_text())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "expected a study file, found none"),
        (b"", "the file is empty"),
        (b"# nothing\n", "the file is empty"),
        (b"- a\n", "found a list"),
        (b"hello\n", "found a text"),
        (b"3\n", "found a int"),
        (b"a:\n\tb: 1\n", "line 2: expected YAML, found a tab; indent with spaces"),
        (b"a: [1\nb: 2\n", "line 2: expected YAML"),
        (b"a: 1\nb: {c: 1, c: 2}\n", "line 2: expected YAML, found the key 'c' twice"),
        (b"a: \xe9\n", "found other bytes at byte 3; save it as UTF-8"),
        (b"a: \x00\n", "found a character that YAML does not allow"),
        ("a: 1\n".encode("utf-16"), "expected UTF-8 text"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(content, expected, tmp_path):
    path = tmp_path / "mine.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError) as raised:
        read_study_file(path)
    assert str(raised.value).startswith(f"{path}: ")
    assert expected in str(raised.value)
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize("content", ['{"study": "a", "study": "b"}', '{"matrix": {"seeds": [0], "seeds": [1]}}'])
def test_a_key_given_twice_in_json_is_refused(content, tmp_path):
    path = tmp_path / "mine.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"mine.json: expected each key once, found the key '(study|seeds)' twice"):
        read_study_file(path)


def test_a_pipe_is_refused_unread(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match=r"pipe: expected a file, found a pipe or device.*; save it first"):
        read_study_file(path)


def test_byte_order_marks_json_and_merge_keys_are_read(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: &x {b: 1}\nc: {<<: *x, b: 2}\n")
    assert read_study_file(path) == {"a": {"b": 1}, "c": {"b": 2}}
    path.write_text('{"a":\t1}')
    assert read_study_file(path) == {"a": 1}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["all", "--configfile", "a.yaml", "b.yaml", "-n"], ["a.yaml", "b.yaml"]),
        (["--configfiles", "a.yaml", "--cores", "2", "c.yaml"], ["a.yaml"]),
        (["--configfile=a.yaml", "all"], ["a.yaml"]),
        (["--configfile", "a.yaml", "push_to_hub"], ["a.yaml", "push_to_hub"]),
        (["--config", "study=x", "all"], []),
    ],
)
def test_files_of_a_command_are_those_that_snakemake_takes(arguments, expected):
    assert [str(path) for path in files_of_command(arguments)] == expected


def test_a_target_behind_the_option_is_explained(tmp_path, capsys):
    (tmp_path / "mine.yaml").write_text("study: mine\n")
    with pytest.raises(SystemExit) as end:
        check_command_line(["--configfile", str(tmp_path / "mine.yaml"), "push_to_hub"])
    assert end.value.code == 1
    assert "push_to_hub: expected a study file, found none; put targets before" in capsys.readouterr().err


def unused(written: dict) -> dict[str, list[str]]:
    default = yaml.safe_load((CONFIG / "config.yaml").read_text())
    return unused_entries(load_study(deep_merge(default, {"study": "mine"}, written)), written)


OWN = {
    "data": {"note_files": {"mine": {"path": "/data/notes.jsonl"}}},
    "methods": {"narrow": {"label": "narrow", "settings": {"type": "lora", "r": 2, "target_modules": ["q_proj"]}}},
    "adapters": {"mine-lora": {"base": "tiny-llama", "method": "narrow", "corpus": "mine"}},
}


def test_entries_that_the_matrix_leaves_out_are_named():
    searched = {"search": {"models": {"bert+lora": {"space": "task-lora"}}}, "models": {"llama": {"label": "L"}}}
    matrix = {"matrix": {"models": ["tfidf"], "tasks": ["los"]}, "tasks": {"pmv": {"label": "Ventilation"}}}
    assert unused(OWN | searched | matrix) == {
        "data.note_files": ["mine"],
        "methods": ["narrow"],
        "adapters": ["mine-lora"],
        "models": ["llama"],
        "tasks": ["pmv"],
        "search.models": ["bert+lora"],
    }


def test_entries_that_the_matrix_selects_are_not_named():
    assert unused(OWN | {"matrix": {"adapters": ["mine-lora"], "models": [], "tasks": []}}) == {}
    forgetting = {"data": OWN["data"] | {"general_corpus": "mine"}}
    assert unused(forgetting) == {}


def test_sizes_without_a_model_to_train_are_mentioned():
    told = "matrix.train_sizes: the matrix selects no model"
    default = yaml.safe_load((CONFIG / "config.yaml").read_text())
    for models, expected in (([], True), (["tfidf"], False)):
        study = load_study(deep_merge(default, {"matrix": {"models": models, "train_sizes": [100, "all"]}}))
        assert any(told in line for line in notices(study, [], {})) == expected


def test_the_line_names_the_file(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({"study": "mine", **OWN}))
    default = yaml.safe_load((CONFIG / "config.yaml").read_text())
    study = load_study(deep_merge(default, read_study_file(path)))
    assert notices(study, [path], read_study_file(path)) == [
        "own.yaml: defined, but not in the matrix, so not run: data.note_files mine; methods narrow; adapters mine-lora"
    ]
    assert notices(study, [], {}) == []


def test_a_file_without_a_study_key_warns_where_results_go(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("seed: 7\n")
    default = yaml.safe_load((CONFIG / "config.yaml").read_text())
    study = load_study(deep_merge(default, read_study_file(path)))
    (line,) = notices(study, [path], {"seed": 7})
    assert line.startswith("own.yaml: no key study, so results go to results/demo")
    assert notices(study, [path], {"seed": 7, "study": "demo"}) == []
    assert notices(study, [], {"seed": 7})[0].startswith("--config: no key study")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("seed: many\n", "own.yaml: seed: Input should be a valid integer"),
        ("protocoll: paper\n", "own.yaml: unknown key protocoll"),
        ("adapters: {mine: {base: tiny-llama}}\n", "own.yaml: adapters.mine: expected method, which trains"),
        ("models: {llama+lora: {task_method: rola}}\n", "own.yaml: models.llama+lora.task_method: 'rola' is not among"),
        ("methods: {lora: {settings: {r: x}}}\n", "own.yaml: methods.lora.settings.r: "),
        ("matrix: {tasks: []}\ncontamination: disjoint\n", "own.yaml: matrix.tasks: contamination disjoint leaves"),
    ],
)
def test_a_wrong_value_names_the_file_that_sets_it(content, expected, tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(content)
    with pytest.raises(ConfigError) as raised:
        load_files(CONFIG / "config.yaml", path)
    assert str(raised.value).startswith(f"{tmp_path}/{expected}")


def test_the_last_file_that_sets_a_value_is_named(tmp_path):
    for name, seed in (("a", "many"), ("b", "few"), ("c", "")):
        (tmp_path / f"{name}.yaml").write_text(f"seed: {seed}\n" if seed else "protocol: paper\n")
    with pytest.raises(ConfigError, match=r"b\.yaml: seed: "):
        load_files(CONFIG / "config.yaml", *(tmp_path / f"{name}.yaml" for name in "abc"))


def test_a_value_of_the_command_line_names_no_file(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("seed: 7\n")
    config = deep_merge(*map(read_study_file, (CONFIG / "config.yaml", path)), {"seed": "many"})
    with pytest.raises(ConfigError, match=r"^config: seed: "):
        study_file.load_study(config, [path])


def test_a_key_by_its_earlier_name_is_mentioned(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("study: mine\ntasks: {los: {label: Days in hospital}}\n")
    given = read_study_file(path)
    study = load_study(deep_merge(yaml.safe_load((CONFIG / "config.yaml").read_text()), given))
    line = "own.yaml: tasks.los.label is now tasks.los.title; the earlier name still works"
    assert notices(study, [path], given) == [line]


def load_files(*paths: Path):
    return study_file.load_study(deep_merge(*map(read_study_file, paths)), paths[1:])


def own_file(folder: Path, **keys) -> Path:
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({"study": "mine", **keys}))
    return path


def test_a_file_may_inherit_nothing(tmp_path):
    study = load_files(CONFIG / "config.yaml", own_file(tmp_path, extends="none"))
    assert (study.study, study.extends) == ("mine", "none")
    assert (study.bases, study.models, study.tasks, study.matrix.models) == ({}, {}, {}, [])


@pytest.mark.parametrize("keys", [{}, {"extends": "demo"}])
def test_a_file_inherits_the_demo_by_default(keys, tmp_path):
    study = load_files(CONFIG / "config.yaml", own_file(tmp_path, **keys))
    assert "tiny-llama" in study.bases
    assert study.matrix.tasks


def test_values_of_the_command_line_reach_a_study_that_inherits_nothing(tmp_path):
    path = own_file(tmp_path, extends="none", evaluation={"resamples": 100})
    given = deep_merge(read_study_file(path), {"evaluation": {"seed": 3}})
    study = study_file.load_study(deep_merge(read_study_file(CONFIG / "config.yaml"), given), [path], given)
    assert (study.evaluation.resamples, study.evaluation.seed) == (100, 3)
    assert study.bases == {}


def test_a_study_that_inherits_nothing_lacks_what_it_does_not_define(tmp_path):
    path = own_file(tmp_path, extends="none", matrix={"models": ["tfidf"]})
    with pytest.raises(ConfigError, match=r"own\.yaml: matrix\.models: 'tfidf' is not among the models"):
        load_files(CONFIG / "config.yaml", path)


def test_an_inherited_value_is_said_to_be_inherited(tmp_path):
    path = own_file(tmp_path, bases={"tiny-llama": {"family": "encoder"}})
    with pytest.raises(ConfigError) as raised:
        load_files(CONFIG / "config.yaml", path)
    assert str(raised.value).startswith("config: adapters.tiny-llama-lora.base: 'tiny-llama' is not a causal language")
    assert str(raised.value).endswith(
        "(adapters is inherited from config/config.yaml; set extends: none, or override it)"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            {"methods": {"lora": {"label": "VeRA", "settings": {"type": "vera"}}}},
            "config: methods.lora.settings.alpha: ",
        ),
        (
            {"bases": {"tiny-llama": {"source": {"kind": "local", "path": "/m"}}}},
            "config: unknown key bases.tiny-llama.",
        ),
    ],
)
def test_an_entry_that_keeps_inherited_settings_is_told(content, expected, tmp_path):
    with pytest.raises(ConfigError) as raised:
        load_files(CONFIG / "config.yaml", own_file(tmp_path, **content))
    ((section, entries),) = content.items()
    (name,) = entries
    assert str(raised.value).startswith(expected)
    assert str(raised.value).endswith(
        f"({section}.{name} keeps what config/config.yaml sets in the entry of that name; give yours another name, or "
        "set extends: none)"
    )


def test_tables_and_tasks_that_the_matrix_leaves_out_are_named():
    table = {"data": {"tables": {"mine": {"path": "/data/notes.csv", "id": "id", "text": "text"}}}}
    task = {"tasks": {"own": {"type": "binary", "table": "mine", "label_column": "label"}}}
    assert unused(table | task) == {"data.tables": ["mine"], "tasks": ["own"]}
    assert unused(table | task | {"matrix": {"tasks": ["own"], "models": ["tfidf"]}}) == {}

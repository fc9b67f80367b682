"""Every command and snippet of the documentation does what its tag says.

A fenced block's first line names its language and then its tag. `run`: a test runs it, on the tiny study's
results or, of the tutorial, in order (`test_tutorial.py`).
`dry-run`: its Snakemake commands are dry runs, its make targets are printed. `parse`: arguments parse, Python compiles,
and YAML is a study whose matrix selects all that it defines. `site`: it depends on a site, and only arguments parse.
"""

import ast
import importlib
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml
from fenced_blocks import PAGES, blocks
from snakemake.cli import get_argument_parser
from workflow_run import REPOSITORY, dry_runs, workflow_rules

from clinical_peft.cli.app import group
from clinical_peft.config.experiments import load_study
from clinical_peft.config.layers import deep_merge
from clinical_peft.workflow.study_file import unused_entries

pytestmark = pytest.mark.workflow

TAGS = {
    "sh": ("run", "dry-run", "parse", "site"),
    "python": ("parse",),
    "yaml": ("parse",),
    "text": ("",),
    "bibtex": ("",),
}
TUTORIAL = "docs/tutorial.md"
STUDY = {"study": "mine", "hub": {"repository": "my-group/clinical-{adapter}"}}


BLOCKS = blocks()


def chosen(*languages: str, tags: tuple[str, ...] = ("run", "dry-run", "parse", "site")):
    found = [block for block in BLOCKS if block.language in languages and block.tag in tags]
    if tags == ("run",):
        found = [block for block in found if not block.place.startswith(TUTORIAL)]
    return pytest.mark.parametrize("block", found, ids=[block.place for block in found])


def commands(text: str) -> list[list[str]]:
    """The words of every command, environment and comments left out."""
    found: list[list[str]] = [[]]
    text = re.sub(r"(^|\s)# ?[^\n\"]*$", "", text, flags=re.MULTILINE)
    lexer = shlex.shlex(text, posix=True, punctuation_chars="&|;\n")
    lexer.whitespace, lexer.whitespace_split, lexer.commenters = " \t", True, ""
    for word in lexer:
        if word.strip("&|;\n"):
            found[-1].append(word)
        else:
            found.append([])
    return [words for words in (without_environment(words) for words in found) if words]


def without_environment(words: list[str]) -> list[str]:
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    return words


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE))


def check_arguments(words: list[str]) -> None:
    """Arguments of Snakemake and make are known, and so are targets and files."""
    if words[0] == "make":
        assert {word for word in words[1:] if "=" not in word and not word.startswith("-")} <= make_targets()
    if words[0] == "clinical-peft":
        check_verb(words[1:])
    if words[0] != "snakemake":
        return
    parsed = get_argument_parser().parse_args(words[1:])
    for path in parsed.configfile:
        assert path.suffix == ".yaml", path
        assert path.name in ("mine.yaml", "STUDY.yaml") or (REPOSITORY / path).exists(), path
    for target in parsed.targets:
        assert "/" in target or target in workflow_rules(), target


def check_verb(words: list[str]) -> None:
    """A verb is known, and so are its options, and it has the arguments that it needs."""
    context = click.Context(group)
    verb = group.get_command(context, words[0])
    assert verb is not None, words
    verb.make_context(words[0], words[1:], parent=context)


def test_every_block_has_a_language_and_a_tag_that_it_may_have():
    assert [block.place for block in BLOCKS if block.tag not in TAGS.get(block.language, ())] == []
    assert len(BLOCKS) > 15


@chosen("sh")
def test_commands_are_shell_with_known_arguments(block):
    done = subprocess.run(["bash", "-n"], input=block.text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for words in commands(block.text):
        check_arguments(words)
        if words[0] == "python" and "-c" in words:
            check_python(words[words.index("-c") + 1])


def test_commands_in_running_text_have_known_arguments():
    found = 0
    for page in PAGES:
        for command in re.findall(r"`((?:snakemake|make) [^`]+|clinical-peft [^`A-Z]+)`", page.read_text()):
            check_arguments(shlex.split(command))
            found += 1
    assert found > 10


def check_python(source: str) -> None:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("clinical_peft"):
            module = importlib.import_module(node.module)
            assert all(hasattr(module, name.name) for name in node.names)


@chosen("python")
def test_python_compiles(block):
    check_python(block.text)


@chosen("yaml")
def test_a_snippet_is_a_study_that_runs_what_it_defines(block):
    written = yaml.safe_load(block.text)
    default = yaml.safe_load((REPOSITORY / "config" / "config.yaml").read_text())
    inherited = {} if written.get("extends") == "none" else default
    study = load_study(deep_merge(inherited, {"study": "mine"}, written))
    assert unused_entries(study, written) == {}


@pytest.fixture(scope="module")
def dry_run_results(tmp_path_factory) -> dict[str, dict]:
    """A dry run of every Snakemake command of the blocks with that tag."""
    folder = tmp_path_factory.mktemp("documented")
    (folder / "mine.yaml").write_text(yaml.safe_dump(STUDY))
    lines = [words for block in BLOCKS if block.tag == "dry-run" for words in commands(block.text)]
    lines = [*{shlex.join(words): words for words in lines if words[0] == "snakemake"}.values()]
    given = [[str(folder / word) if word == "mine.yaml" else word for word in words[1:]] for words in lines]
    found = dry_runs([["--directory", folder, *arguments] for arguments in given], REPOSITORY)
    return {shlex.join(words): each for words, each in zip(lines, found, strict=True)}


@chosen("sh", tags=("dry-run",))
def test_commands_plan_jobs(block, dry_run_results):
    planned = 0
    for words in commands(block.text):
        assert words[0] in ("snakemake", "make", "source")
        if words[0] == "snakemake":
            found = dry_run_results[shlex.join(words)]
            assert found["code"] == 0, found["output"]
            planned += len(found["jobs"])
        if words[0] == "make":
            subprocess.run(["make", "--dry-run", *words[1:]], cwd=REPOSITORY, check=True, capture_output=True)
    assert planned


@pytest.fixture
def demo_results(tiny_run, tmp_path) -> Path:
    """A folder in which the tiny study's results stand where the documentation has the demo's."""
    tiny, demo = tiny_run.results / "tiny", tmp_path / "results" / "demo"
    for name in ("bases", "adapters"):
        (demo / name).parent.mkdir(parents=True, exist_ok=True)
        (demo / name).symlink_to(tiny / name)
    for model in (tiny / "models").iterdir():
        (demo / "models" / model.name).mkdir(parents=True)
        (demo / "models" / model.name / "los").symlink_to(model / "mortality")
    return tmp_path


@chosen("sh", tags=("run",))
def test_commands_run(block, demo_results):
    python = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-e"],
        input=block.text,
        text=True,
        capture_output=True,
        check=False,
        cwd=demo_results,
        env={"PATH": f"{python}:/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY), "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr[-1500:]

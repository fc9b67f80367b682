"""The root of the configuration, its cross-checks, and its errors in one line each."""

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from clinical_peft.config.alternatives import OPENING
from clinical_peft.config.gaps import Gaps
from clinical_peft.config.hospital import Cohorts, Data, Leakage, Synthetic, YearSplit
from clinical_peft.config.own_checks import (
    PAIRED_CORPORA,
    check_corpus_names,
    check_metric,
    check_own_tasks,
    check_task_names,
)
from clinical_peft.config.search import SearchSection
from clinical_peft.config.sections import (
    Adapter,
    Base,
    Budget,
    Evaluation,
    Hub,
    Image,
    Matrix,
    MethodEntry,
    Model,
    Name,
    Partial,
    ScratchSource,
    Section,
    Seed,
    TaskName,
    Tracking,
)
from clinical_peft.config.tasks import TaskEntry, own_tasks, titled
from clinical_peft.errors import ConfigError
from clinical_peft.methods import Method, SettingError
from clinical_peft.recipes.classifier_adapters import refuse_clinical, refuse_task
from clinical_peft.recipes.families import find_family
from clinical_peft.recipes.kinds import find_kind
from clinical_peft.recipes.switches import SWITCHES, resolve_switches
from clinical_peft.sources import SOURCES, find_source, hospital_corpora
from clinical_peft.tasks import TASKS, OwnTask, Task
from clinical_peft.tracking.stores import credentials_in, is_printable

MIMIC_CORPORA = hospital_corpora()


class Study(Section):
    """One study: a protocol, registries of what exists, and a matrix of what runs."""

    study: Name = Field(description="name; results lie in results/{study}")
    extends: Literal["demo", "none"] = Field(
        "demo", description="what a user's file inherits: `demo`, all of config/config.yaml, or `none`"
    )
    protocol: Literal["paper", "corrected"] = "corrected"
    switches: dict[str, bool] = Field({}, description="single deviations from the protocol's defaults")
    contamination: Literal["paper", "carevue", "disjoint"] = Field(
        "paper", description="what is done about test answers in pretraining notes (docs/protocol.md)"
    )
    seed: Seed = Field(1234, description="seed of base and adapter training")
    data: Data = Data()
    synthetic: Synthetic = Synthetic()
    cohorts: Cohorts = Cohorts()
    leakage: Leakage = Leakage()
    bases: dict[Name, Base] = Field({})
    methods: dict[Name, MethodEntry] = Field({})
    adapters: dict[Name, Adapter] = Field({})
    models: dict[Name, Model] = Field({})
    tasks: dict[TaskName, TaskEntry] = Field({})
    pretraining: Partial = Field({}, description="default recipe of adapter training")
    finetuning: Partial = Field({}, description="default recipe of fine-tuning")
    matrix: Matrix = Matrix()
    search: SearchSection = SearchSection()
    gaps: Gaps = Gaps()
    evaluation: Evaluation = Evaluation()
    tracking: Tracking = Tracking()
    hub: Hub = Hub()
    budget: Budget = Budget()
    # A matter of the site: it is no setting that a report prints.
    container: Image | None = Field(
        None, exclude=True, description="image of the packages, for `--software-deployment-method apptainer` alone"
    )

    @property
    def resolved_switches(self) -> dict[str, bool]:
        """Every switch with its value in this study."""
        return resolve_switches(self.protocol, self.switches)

    @property
    def divides_carevue(self) -> bool:
        """Whether the study finds out which test patients are in the CareVue subset of MIMIC-III."""
        return self.contamination == "carevue" or self.gaps.contamination is not None

    @property
    def corpora(self) -> tuple[str, ...]:
        """Names of all corpora that a study can ask for."""
        return (*hospital_corpora(), *self.paired_corpora, "general", *self.data.note_files, *self.data.tables)

    @cached_property
    def own_tasks(self) -> dict[str, OwnTask]:
        """Tasks that the study defines, in the order of its file."""
        return own_tasks(self.tasks)

    def task_of(self, name: str) -> Task:
        """Return a task by its name: one of the study's own, or a built-in one under the study's title.

        Raises:
            ConfigError: The study has no such task.
        """
        if name in self.own_tasks:
            return self.own_tasks[name]
        if name not in TASKS:
            known = ", ".join(dict.fromkeys([*TASKS, *self.own_tasks]))
            raise ConfigError(f"task: expected one of {known}, found {name}")
        return titled(TASKS[name], self.tasks[name]) if name in self.tasks else TASKS[name]

    @cached_property
    def tasks_in_order(self) -> tuple[Task, ...]:
        """Selected tasks: built-in ones by their place, then the study's own in the order of its file."""
        return tuple(sorted(map(self.task_of, self.matrix.tasks), key=lambda task: task.place))

    def table_of(self, task: str) -> str | None:
        """Return the own table that holds a task's notes and labels, or None for a task of a hospital."""
        own = self.own_tasks.get(task)
        return own.table if own is not None else None

    @property
    def hospital_tasks(self) -> list[str]:
        """Selected tasks on a hospital's admission notes, the synthetic one's included, in the matrix's order."""
        return [task for task in self.matrix.tasks if self.table_of(task) is None]

    @property
    def paired_corpora(self) -> tuple[str, ...]:
        """The corpora of contamination mode `disjoint` or `gaps.contamination`, the filtered one first; or none."""
        if self.contamination != "disjoint" and self.gaps.contamination is None:
            return ()
        return tuple(f"{self.cohorts.source}-{kind}" for kind in PAIRED_CORPORA)

    @model_validator(mode="after")
    def _check_references(self) -> "Study":
        for name in self.switches:
            _known(f"switches.{name}", name, SWITCHES, "switches")
        for check in (check_corpus_names, check_own_tasks, check_task_names):
            check(self)
        if self.data.general_corpus is not None:
            _known("data.general_corpus", self.data.general_corpus, ("general", *self.data.note_files), "corpora")
        for key, adapter in self.adapters.items():
            _known(f"adapters.{key}.base", adapter.base, self.bases, "bases")
            if adapter.method is not None:
                _known(f"adapters.{key}.method", adapter.method, self.methods, "methods")
                _known(f"adapters.{key}.corpus", adapter.corpus, self.corpora, "corpora")
            if not find_family(self.bases[adapter.base].family).is_decoder:
                raise ValueError(f"adapters.{key}.base: {adapter.base!r} is not a causal language model")
        for key, model in self.models.items():
            self._check_model(key, model)
        divided = [source.key for source in SOURCES.values() if source.has_carevue]
        if self.data.carevue_patients is not None and not any(self.data.folder(key) for key in divided):
            keys = " or ".join(f"data.{key}" for key in divided)
            raise ValueError(f"data.carevue_patients: expected {keys}, whose patients it lists, found null")
        for key, task in self.tasks.items():
            for name in task.models or ():
                _known(f"tasks.{key}.models", name, self.models, "models")
        for key, adapter_search in self.search.adapters.items():
            _known("search.adapters", key, self.adapters, "adapters")
            if self.adapters[key].path is not None:
                raise ValueError(
                    f"search.adapters.{key}: an adapter with a path is not trained here; remove its search"
                )
            _known(f"search.adapters.{key}.space", adapter_search.space, self.search.spaces, "search spaces")
        for key, model_search in self.search.models.items():
            _known("search.models", key, self.models, "models")
            _known(f"search.models.{key}.space", model_search.space, self.search.spaces, "search spaces")
        for place, chosen, registry in (
            ("adapters", self.matrix.adapters, self.adapters),
            ("models", self.matrix.models, self.models),
            ("tasks", self.matrix.tasks, self.tasks),
        ):
            for name in chosen:
                _known(f"matrix.{place}", name, registry, place)
            if len(set(chosen)) != len(chosen):
                raise ValueError(f"matrix.{place}: lists a name twice; list each once")
        self._check_source()
        check_metric(self)
        if len(set(self.matrix.seeds)) != len(self.matrix.seeds):
            raise ValueError("matrix.seeds: lists a seed twice; list each once")
        for name in self.hub.revisions:
            _known("hub.revisions", name, self.adapters, "adapters")
        return self

    def _check_source(self) -> None:
        source = find_source(self.cohorts.source)
        for name, switch in SWITCHES.items():
            if self.resolved_switches[name] and not switch.is_for_source(source.name):
                titles = _titles(switch.sources or ())
                raise ValueError(f"switches.{name}: is for cohorts of {titles}; set it to false with {source.name}")
        if self.data.pmv_split == "beep" and not source.has_list:
            listed = _titles(name for name, other in SOURCES.items() if other.has_list)
            raise ValueError(f"data.pmv_split: beep lists admissions of {listed}; choose another with {source.name}")
        if isinstance(self.data.splits, YearSplit) and source.read_year_groups is None:
            dated = _titles(name for name, other in SOURCES.items() if other.read_year_groups is not None)
            raise ValueError(
                f"data.splits: temporal is for {dated}; dates of {source.title} are shifted per patient; choose hash "
                "or lists"
            )
        if self.contamination == "carevue" and not source.has_carevue:
            divided = _titles(name for name, other in SOURCES.items() if other.has_carevue)
            raise ValueError(f"contamination: carevue divides patients of {divided}; choose another with {source.name}")
        for name in self.hospital_tasks:
            if name in TASKS and not source.has_task(TASKS[name]):
                raise ValueError(f"matrix.tasks: {name} has no tables of {source.title}; drop it, or add its tables")

    def _check_model(self, key: str, model: Model) -> None:
        place = f"models.{key}"
        kind = find_kind(model.kind)
        if not kind.has_network:
            if model.base or model.clinical or model.clinical_mode or model.task_method:
                raise ValueError(f"{place}: a {model.kind} model takes no base and no adapter")
            return
        if model.base is None:
            raise ValueError(f"{place}.base: expected the name of a base, found none")
        _known(f"{place}.base", model.base, self.bases, "bases")
        if not kind.takes_adapters and (model.clinical or model.task_method):
            raise ValueError(f"{place}: a {model.kind} model takes no adapter")
        if (model.clinical is None) != (model.clinical_mode is None):
            raise ValueError(f"{place}: clinical and clinical_mode go together; set both or neither")
        clinical = None
        if model.clinical is not None:
            _known(f"{place}.clinical", model.clinical, self.adapters, "adapters")
            if self.adapters[model.clinical].base != model.base:
                raise ValueError(
                    f"{place}.clinical: adapter {model.clinical!r} belongs to base "
                    f"{self.adapters[model.clinical].base!r}, not {model.base!r}"
                )
            if self.adapters[model.clinical].path is None:
                clinical = self.method_of(model.clinical).settings
                self._check_clinical(place, model, clinical)
        if model.task_method is not None:
            _known(f"{place}.task_method", model.task_method, self.methods, "methods")
            family = self.bases[model.base].family
            method = self.methods[model.task_method].settings
            if refusal := refuse_task(method, model.clinical_mode, family=family, clinical=clinical):
                raise ValueError(f"{place}.task_method: {model.task_method!r}: {refusal}")

    def _check_clinical(self, place: str, model: Model, method: Method) -> None:
        if method.trains_every_weight:
            raise ValueError(
                f"{place}.clinical: {model.clinical!r} is a whole network, trained by {method.title}, and no "
                "adapter; give its folder as a base of kind local"
            )
        task_adapter = model.task_method is not None
        if refusal := refuse_clinical(method, model.clinical_mode, task_adapter=task_adapter, kind=method.type):
            raise ValueError(f"{place}.clinical: {model.clinical!r}: {refusal}")

    def method_of(self, adapter: str) -> MethodEntry:
        """Return the method that trains an adapter.

        Raises:
            ConfigError: The adapter exists already and is not trained here.
        """
        name = self.adapters[adapter].method
        if name is None:
            raise ConfigError(f"config: adapters.{adapter}: an adapter with a path is not trained here")
        return self.methods[name]

    @property
    def real_bases(self) -> list[str]:
        """Names of bases in the registry whose weights come from outside the workflow."""
        return [name for name, base in self.bases.items() if not isinstance(base.source, ScratchSource)]


def _titles(names: Iterable[str]) -> str:
    return ", ".join(find_source(name).title for name in names)


def _known(place: str, name: str, registry: Any, kind: str) -> None:
    if name not in registry:
        raise ValueError(f"{place}: {name!r} is not among the {kind}; expected one of {', '.join(sorted(registry))}")


def parse_study(config: Mapping[str, Any]) -> Study:
    """Validate a configuration, its recipes apart (`clinical_peft.config.experiments.load_study` checks them too).

    Args:
        config: Parsed YAML of a study.

    Returns:
        The study.

    Raises:
        ConfigError: A key is unknown, missing or of the wrong type, names something that does not exist, or holds a
            password; the message names every problem, and quotes no password.
    """
    # Before pydantic, whose messages quote what they found.
    leaks = [
        f"{place}: expected an address without a user name, password or token, found one that holds some (not shown "
        f"here); {what}: an address is printed and kept with the results"
        for place, what in credentials_in(config)
    ]
    if leaks:
        raise ConfigError("config: " + "; ".join(leaks))
    try:
        return Study.model_validate(dict(config))
    except ValidationError as error:
        raise ConfigError(
            "config: " + "; ".join(describe_problem(_without_tags(problem, config)) for problem in error.errors())
        ) from None


def _without_tags(problem: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """Drop from a problem's place what pydantic puts among the keys: types of methods, kinds of bases, alternatives."""
    written: Any = config
    keys = []
    for part in problem["loc"]:
        if isinstance(written, Mapping):
            tags = (written.get("type"), written.get("kind"))
            if part not in written and (part in tags or str(part).startswith(OPENING)):
                continue
            written = written.get(part)
        elif isinstance(written, list) and isinstance(part, int) and part < len(written):
            written = written[part]
        else:
            continue
        keys.append(part)
    return {**problem, "loc": tuple(keys)}


def renamed_keys(written: Mapping[str, Any]) -> Iterator[str]:
    """Name the keys of a user's file that go by an earlier name, one line each.

    Args:
        written: What the file says.
    """
    tasks = written.get("tasks")
    for name, entry in tasks.items() if isinstance(tasks, Mapping) else ():
        if isinstance(entry, Mapping) and "label" in entry:
            yield f"tasks.{name}.label is now tasks.{name}.title; the earlier name still works"


def describe_problem(problem: Any, *where: str) -> str:
    """Describe in one line what pydantic found wrong, by the key.

    Args:
        problem: One of a validation error's `errors()`.
        *where: Keys above those that pydantic knows.
    """
    place = ".".join(str(part) for part in (*where, *problem["loc"]))
    error = problem.get("ctx", {}).get("error")
    if isinstance(error, SettingError):
        return f"{place}.{error.key}: {error}"
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return f"unknown key {place}; remove it or correct its spelling"
    if problem["type"] in ("missing", "missing_keyword_only_argument"):
        return f"missing key {place}"
    message = problem["msg"].removeprefix("Value error, ").replace("a valid tuple", "a valid list")
    if problem["type"] == "union_tag_invalid":
        context = problem["ctx"]
        key, known = context["discriminator"].strip("'"), context["expected_tags"].replace("'", "")
        return f"{place}.{key}: expected one of {known} (found {context['tag']!r})"
    if problem["type"] == "union_tag_not_found":
        return f"missing key {place}.{problem['ctx']['discriminator'].strip(chr(39))}"
    found = problem["input"]
    quoted = isinstance(found, int | float | bool) or found is None or (isinstance(found, str) and is_printable(found))
    shown = f" (found {found!r})" if quoted else ""
    return f"{place}: {message}{shown}" if place else message

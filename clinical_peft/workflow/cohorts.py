"""What the jobs of cohorts read: tables, lists and derived files, and the settings of each task."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from clinical_peft.config import experiments
from clinical_peft.config.ablations import admission_notes_of, is_for_cohort, plain, switches_under
from clinical_peft.config.generated import in_hospital, is_generated
from clinical_peft.config.hospital import YearSplit
from clinical_peft.config.tasks import untitled_record
from clinical_peft.data.table_files import table_files
from clinical_peft.recipes.switches import SWITCHES
from clinical_peft.sources import Source, Table, find_source
from clinical_peft.tasks import CONTROL, TASKS, OwnTask, Task, task_record
from clinical_peft.workflow.own_tables import OwnTableFiles
from clinical_peft.workflow.study_folder import Files, Wildcards

SPLIT_LISTS = ("mimic_train.csv", "mimic_val.csv", "mimic_test.csv")


class CohortFiles(OwnTableFiles):
    """Admission notes, cohorts, and what is known of their patients."""

    @cached_property
    def source(self) -> Source:
        """Where outcomes, and the notes that they are predicted from, come from."""
        return find_source(self.study.cohorts.source)

    def has_table(self, name: str) -> bool:
        """Whether the user's folder of outcomes holds a table; False for the synthetic hospital."""
        folder = self.study.data.folder(self.source.key)
        return folder is not None and bool(table_files(folder, name))

    def outcome_folder(self, wildcards: Wildcards) -> str | None:
        """Folder of the tables that admissions and labels come from."""
        return self.table_folder(self.source.key)

    # --- admission notes -------------------------------------------------------------------------------------------

    def admission_tables(self, wildcards: Wildcards) -> list[str]:
        """Tables that admission notes are cut from."""
        return list(dict.fromkeys(self.table_paths(self.source.admission_tables)))

    def admission_note_folder(self, wildcards: Wildcards) -> str | None:
        """Folder of the source's notes where it is not that of its other tables; None where it is."""
        apart = self.source.note_key != self.source.key
        return self.table_folder(self.source.note_key) if apart else None

    def admission_switches(self, wildcards: Wildcards) -> dict[str, bool]:
        """Switches of admission notes."""
        switches = switches_under(self.study, wildcards.admission)
        return {name: switches[name] for name, switch in SWITCHES.items() if switch.stages == ("admission",)}

    # --- one task's cohort -----------------------------------------------------------------------------------------

    def task_record(self, wildcards: Wildcards) -> dict[str, Any]:
        """The task of a job, without its switch and without what readers call it, as a record."""
        task = self._task(wildcards)
        if isinstance(task, OwnTask) and task.label_file is not None and is_generated(task.label_file):
            task = replace(task, label_file=f"{self.hospital}/{in_hospital(task.label_file)}")
        return untitled_record(task)

    def task_records(self, wildcards: Wildcards | None = None) -> list[dict[str, Any]]:
        """The selected tasks under their titles, in their order, as records."""
        return list(map(task_record, self.study.tasks_in_order))

    def untitled_task_records(self, wildcards: Wildcards | None = None) -> list[dict[str, Any]]:
        """The same without what readers call them, for jobs whose results do not show it."""
        return list(map(untitled_record, self.study.tasks_in_order))

    def cohort_notes(self, wildcards: Wildcards) -> str:
        """Admission notes that a cohort is made from."""
        return f"{self.root}/notes/{admission_notes_of(wildcards.task)}.parquet"

    def cohort_tables(self, wildcards: Wildcards) -> list[str]:
        """Tables that a cohort's labels come from."""
        return self.table_paths(self.label_tables(self._task(wildcards)))

    def label_tables(self, task: Task) -> tuple[Table, ...]:
        """Tables of the hospital that a task's labels come from; for a file of labels, those of its admissions alone.

        Args:
            task: A task on a hospital's notes.
        """
        named = TASKS[CONTROL] if task.is_own else task  # every admission has a control label
        return self.source.label_tables(named, by_list=self.is_labelled_by_list(task))

    def cohort_label_file(self, wildcards: Wildcards) -> Files:
        """The user's file of labels, or the synthetic hospital that holds it, for a task that takes them from one."""
        task = self._task(wildcards)
        if not isinstance(task, OwnTask) or task.label_file is None:
            return []
        return self.hospital if is_generated(task.label_file) else task.label_file

    def is_labelled_by_list(self, task: Task) -> bool:
        """Whether a task's members and labels come from a published list."""
        return self.study.data.pmv_split == "beep" and task.has_own_split

    def cohort_ventilation(self, wildcards: Wildcards) -> Files:
        """Derived episodes of ventilation, for a task that needs them."""
        task = self._task(wildcards)
        derived = task.reads_ventilation and not self.is_labelled_by_list(task)
        return f"{self.root}/cohorts/ventilation.parquet" if derived else []

    def cohort_list(self, wildcards: Wildcards) -> Files:
        """The published list of ventilated admissions, for a task that is labelled by it."""
        return str(self.study.data.pmv_labels) if self.is_labelled_by_list(self._task(wildcards)) else []

    def cohort_icd(self, wildcards: Wildcards) -> str:
        """How codes of two versions are joined; the default for a task without codes."""
        return self.study.cohorts.icd if self._task(wildcards).codes is not None else "separate"

    def cohort_icd_map(self, wildcards: Wildcards) -> Files:
        """The user's map of codes, for a task that has codes."""
        icd_map = self.study.cohorts.icd_map
        return str(icd_map) if icd_map and self._task(wildcards).codes is not None else []

    def cohort_splits(self, wildcards: Wildcards) -> str | dict[str, str]:
        """`hash`, the folder of lists of patients, or the first groups of years of the later splits."""
        splits = self.study.data.splits
        return splits.temporal.model_dump() if isinstance(splits, YearSplit) else str(splits)

    def split_lists(self, wildcards: Wildcards) -> list[str]:
        """Lists of patients per split, when the study brings its own; tables of patients for a split by years."""
        splits = self.study.data.splits
        if isinstance(splits, YearSplit):
            return self.table_paths(self.source.attribute_tables)
        return [str(Path(splits) / name) for name in SPLIT_LISTS] if splits != "hash" else []

    def cohort_salt(self, wildcards: Wildcards) -> str:
        """What the hash split and the control task's label depend on; empty where neither is asked for."""
        salted = self._task(wildcards).is_random or self.study.data.splits == "hash"
        return self.study.data.split_salt if salted else ""

    def cohort_pmv_split(self, wildcards: Wildcards) -> str:
        """How a task with a split of its own is split; by patient for the others."""
        return self.study.data.pmv_split if self._task(wildcards).has_own_split else "core-patient"

    def cohort_switches(self, wildcards: Wildcards) -> dict[str, bool]:
        """Switches that a cohort depends on."""
        switches, task = switches_under(self.study, wildcards.task), plain(wildcards.task)
        return {
            name: switches[name]
            for name, switch in SWITCHES.items()
            if "cohort" in switch.stages and is_for_cohort(self.study, switch, task)
        }

    def _task(self, wildcards: Wildcards) -> Task:
        return self.study.task_of(plain(wildcards.task))

    # --- what is known of patients ---------------------------------------------------------------------------------

    def ventilation_tables(self, wildcards: Wildcards) -> list[str]:
        """Tables that episodes of ventilation are derived from."""
        return self.table_paths(self.source.tables_of_ventilation(self.has_table))

    def subgroup_tables(self, wildcards: Wildcards) -> list[str]:
        """The table of admissions, and those that say more of a patient and are there."""
        return self.table_paths(self.source.attribute_tables)

    def carevue_tables(self, wildcards: Wildcards) -> list[str]:
        """The list of CareVue patients if the study has one, else the tables that show them approximately."""
        listed = self.study.data.carevue_patients
        return [str(listed)] if listed else self.table_paths(self.source.carevue_tables)

    def tasks_split_by_admission(self, wildcards: Wildcards | None = None) -> list[str]:
        """Selected tasks of which a patient may be in several splits, as the study asks for a split by admission."""
        return [task.name for task in self.study.tasks_in_order if self._is_split_by_admission(task)]

    def patients_apart(self, wildcards: Wildcards) -> bool:
        """Whether every patient of a task is in one split."""
        return not self._is_split_by_admission(self._task(wildcards))

    def _is_split_by_admission(self, task: Task) -> bool:
        return self.study.data.pmv_split != "core-patient" and task.has_own_split

    # --- cohorts in use --------------------------------------------------------------------------------------------

    def cohorts(self, wildcards: Wildcards | None = None) -> list[str]:
        """Cohorts of the selected tasks."""
        return self.paths("cohorts/{}.parquet", self.study.matrix.tasks)

    def hospital_cohorts(self, wildcards: Wildcards | None = None) -> list[str]:
        """Those of them on a hospital's admission notes."""
        return self.paths("cohorts/{}.parquet", self.study.hospital_tasks)

    def classes(self, wildcards: Wildcards | None = None) -> list[str]:
        """Names of the classes of the selected tasks."""
        return self.paths("cohorts/{}.classes.json", self.study.matrix.tasks)

    def classes_by_task(self, wildcards: Wildcards | None = None) -> dict[str, str]:
        """The same by task."""
        return dict(zip(self.study.matrix.tasks, self.classes(), strict=True))

    def attrition(self, wildcards: Wildcards | None = None) -> list[str]:
        """How many admissions each step leaves, of the selected tasks."""
        return self.paths("cohorts/{}.attrition.json", self.study.matrix.tasks)

    def subgroups(self, wildcards: Wildcards | None = None) -> list[str]:
        """Attributes of patients of whom anything is predicted: the hospital's, and those of tables with subgroups."""
        tables = {self.study.table_of(task) for _, task in experiments.runs_in_use(self.study)}
        with_groups = [name for name in self.tables_in_use if name in tables and self.own_table(name).subgroups]
        names = ["subgroups"] if None in tables else []
        return self.paths("cohorts/{}.parquet", [*names, *(f"{name}.subgroups" for name in with_groups)])

    def carevue(self, wildcards: Wildcards | None = None) -> list[str]:
        """Which test patients are in the CareVue subset, if the study asks."""
        names = ["carevue.parquet", "carevue.json"] if self.study.divides_carevue else []
        return self.paths("cohorts/{}", names)

"""Which tables, lists and files of notes each rule of the data stage reads, and its settings."""

from clinical_peft.config.switches import SWITCHES
from clinical_peft.data.table_files import table_files
from clinical_peft.tasks import TASKS, find_task

FROM_MIMIC_IV = STUDY.cohorts.source == "mimic-iv"
CORE_TABLES = ["NOTEEVENTS", "ADMISSIONS"]


def hospital_tables(folder, key, names):
    """Paths of the tables that a job reads: the synthetic hospital, or files of the configured folder.

    A table that is not there is named as it should be, for Snakemake to report it as missing before any job starts.
    Of one that is there twice both files are named, for the job to refuse them in one line.
    """
    if STUDY.data.synthetic:
        return [SYNTHETIC_FOLDER]
    folder = folder or Path(f"(data.{key} is not set)")
    return [
        str(path)
        for name in names
        for path in table_files(folder, name) or [folder / f"{name}.csv.gz"]
    ]


def mimic_iii_tables(names):
    return hospital_tables(STUDY.data.mimic_iii, "mimic_iii", names)


def mimic_iv_tables(names):
    return hospital_tables(STUDY.data.mimic_iv, "mimic_iv", names)


def mimic_iv_note_tables(names=("discharge", "radiology")):
    return hospital_tables(STUDY.data.mimic_iv_note, "mimic_iv_note", names)


def folders_of_corpus(wildcards):
    """Folders of the tables that a corpus is made of, and null for the others."""
    corpus = arms.plain(wildcards.corpus)
    return {
        "mimic_iii": mimic_iii_folder(wildcards) if corpus != "mimic-iv" else None,
        "mimic_iv_note": (
            mimic_iv_note_folder(wildcards) if corpus != "mimic-iii" else None
        ),
    }


def note_folder_of_admissions(wildcards):
    """Folder of MIMIC-IV-Note where admission notes come from there."""
    return mimic_iv_note_folder(wildcards) if FROM_MIMIC_IV else None


def mimic_iii_folder(wildcards):
    if STUDY.data.synthetic:
        return f"{SYNTHETIC_FOLDER}/mimic-iii"
    return str(STUDY.data.mimic_iii) if STUDY.data.mimic_iii else None


def mimic_iv_note_folder(wildcards):
    if STUDY.data.synthetic:
        return f"{SYNTHETIC_FOLDER}/mimic-iv-note"
    return str(STUDY.data.mimic_iv_note) if STUDY.data.mimic_iv_note else None


def outcome_folder(wildcards):
    """Folder of the tables that admissions and labels come from."""
    if not FROM_MIMIC_IV:
        return mimic_iii_folder(wildcards)
    if STUDY.data.synthetic:
        return f"{SYNTHETIC_FOLDER}/mimic-iv"
    return str(STUDY.data.mimic_iv) if STUDY.data.mimic_iv else None


def tables_of_corpus(wildcards):
    tables = []
    corpus = arms.plain(wildcards.corpus)
    if corpus in ("mimic-iv", "combined"):
        tables += mimic_iv_note_tables()
    if corpus in ("mimic-iii", "combined"):
        tables += mimic_iii_tables(["NOTEEVENTS"])
    return sorted(set(tables))


def tables_of_admission_notes(wildcards):
    if FROM_MIMIC_IV:
        tables = mimic_iv_tables(["admissions", "patients"])
        return sorted({*tables, *mimic_iv_note_tables(["discharge"])})
    return mimic_iii_tables(CORE_TABLES)


def tables_of_ventilation(wildcards):
    if FROM_MIMIC_IV:
        folder = STUDY.data.mimic_iv
        recorded = folder and table_files(folder, "procedureevents")
        charted = not recorded or table_files(folder, "chartevents")
        return mimic_iv_tables(["chartevents" if charted else "procedureevents"])
    folder = STUDY.data.mimic_iii
    charted = ["CHARTEVENTS"] if folder and table_files(folder, "CHARTEVENTS") else []
    return mimic_iii_tables(["PROCEDUREEVENTS_MV", *charted])


def task_of_cohort(wildcards):
    return arms.plain(wildcards.task)


def admission_notes_of_cohort(wildcards):
    return f"{ROOT}/notes/{arms.admission_notes_of(wildcards.task)}.parquet"


def labelled_by_beep(wildcards):
    by_list = STUDY.data.pmv_split == "beep"
    return by_list and find_task(task_of_cohort(wildcards)).has_own_split


def tables_of_task(wildcards):
    if FROM_MIMIC_IV:
        return mimic_iv_tables(find_task(task_of_cohort(wildcards)).tables["mimic-iv"])
    names = find_task(task_of_cohort(wildcards)).tables["mimic-iii"]
    return mimic_iii_tables(["ADMISSIONS"] if labelled_by_beep(wildcards) else names)


def tables_of_carevue_subset(wildcards):
    """The list of its patients if the study has one, else the ICU stays that tell it approximately."""
    listed = STUDY.data.carevue_patients
    return [str(listed)] if listed else mimic_iii_tables(["ICUSTAYS"])


def tables_of_subgroups(wildcards):
    """The table of admissions, and of those that say more of a patient the ones that are there."""
    folder, names = STUDY.data.mimic_iii, ["PATIENTS", "ICUSTAYS"]
    if FROM_MIMIC_IV:
        folder, names = STUDY.data.mimic_iv, ["patients"]
    there = [name for name in names if folder and table_files(folder, name)]
    if FROM_MIMIC_IV:
        return mimic_iv_tables(["admissions", *there])
    return mimic_iii_tables(["ADMISSIONS", *there])


def ventilation_of_task(wildcards):
    needed = find_task(task_of_cohort(wildcards)).reads_ventilation
    derived = needed and not labelled_by_beep(wildcards)
    return f"{ROOT}/cohorts/ventilation.parquet" if derived else []


def pmv_labels_of_task(wildcards):
    return str(STUDY.data.pmv_labels) if labelled_by_beep(wildcards) else []


def has_codes(wildcards):
    return find_task(task_of_cohort(wildcards)).codes is not None


def icd_of_task(wildcards):
    return STUDY.cohorts.icd if has_codes(wildcards) else "separate"


def icd_map_of_task(wildcards):
    mapped = STUDY.cohorts.icd_map and has_codes(wildcards)
    return str(STUDY.cohorts.icd_map) if mapped else []


def pmv_split_of_task(wildcards):
    has_own = find_task(task_of_cohort(wildcards)).has_own_split
    return STUDY.data.pmv_split if has_own else "core-patient"


def salt_of_cohort(wildcards):
    """What the hash split and the control task's label depend on."""
    is_random = find_task(task_of_cohort(wildcards)).is_random
    salted = STUDY.data.splits == "hash" or is_random
    return STUDY.data.split_salt if salted else ""


def split_lists(wildcards):
    """Lists of patients per split, when the study brings its own."""
    if STUDY.data.splits == "hash":
        return []
    names = ["mimic_train.csv", "mimic_val.csv", "mimic_test.csv"]
    return [str(Path(STUDY.data.splits) / name) for name in names]


def switches_of_cohort(wildcards):
    switches, task = arms.switches_under(STUDY, wildcards.task), task_of_cohort(
        wildcards
    )
    return {
        name: switches[name]
        for name, switch in SWITCHES.items()
        if "cohort" in switch.stages and switch.is_for_task(task)
    }


def switches_of_admission_notes(wildcards):
    switches = arms.switches_under(STUDY, wildcards.admission)
    return {
        name: switches[name]
        for name, switch in SWITCHES.items()
        if switch.stages == ("admission",)
    }


def whole_release_of_tables():
    """Whether row counts are asserted; those of the synthetic hospital are not compared."""
    return None if STUDY.data.synthetic else STUDY.data.whole_release


def corpus_of_notes(wildcards):
    return arms.plain(wildcards.corpus)


def flattened_of_corpus(wildcards):
    return arms.switches_under(STUDY, wildcards.corpus)["notes_flattened"]


def truncate_and_pad_of_tokens(wildcards):
    return arms.switches_under(STUDY, wildcards.corpus)["truncate_and_pad"]


def notes_of_tokens(wildcards):
    return f"{ROOT}/notes/{arms.notes_of_shards(wildcards.corpus)}.parquet"


def general_characters():
    sources = [experiments.scratch_source(STUDY, base) for base in SCRATCH_BASES]
    return max((source.general_characters for source in sources), default=8_000_000)


def splits_of_cohort(wildcards):
    splits = STUDY.data.splits
    return "hash" if splits == "hash" else str(splits)


def note_file_of_corpus(wildcards):
    return str(STUDY.data.note_files[wildcards.corpus].path)


def note_columns_of_corpus(wildcards):
    return STUDY.data.note_files[wildcards.corpus].columns


def memory_of_tokens(wildcards, threads):
    """A gigabyte for each process, whatever the length of notes, and two for the first one's libraries."""
    return f"{2 + threads}GB"


def salt_of_tokens(wildcards):
    return experiments.token_salt(STUDY, wildcards.corpus)


def repetition_of_import(wildcards):
    """What counts as a repeated note in a file that names no patients."""
    if STUDY.data.note_files[wildcards.corpus].subject_column:
        return {}
    leakage = STUDY.leakage
    return {
        "near_duplicate_threshold": leakage.near_duplicate_threshold,
        "shingle_words": leakage.shingle_words,
    }


def repetition_of_notes():
    """What counts as one note repeating another."""
    return {
        "threshold": STUDY.leakage.near_duplicate_threshold,
        "shingle_words": STUDY.leakage.shingle_words,
    }


def corpora_with_patients():
    """Corpora in use whose subject_id is a hospital's."""
    hospital = {*MIMIC_CORPORA, *STUDY.paired_corpora}
    return [name for name in experiments.corpora_in_use(STUDY) if name in hospital]


def source_of_disjoint_corpus():
    """The hospital's notes that the corpus without held-out patients, if it is in use, is made of."""
    in_use = {*STUDY.paired_corpora[:1]} & {*experiments.corpora_in_use(STUDY)}
    return f"{ROOT}/notes/{STUDY.cohorts.source}.parquet" if in_use else []


def tasks_split_by_admission():
    """Tasks of which a patient may be in several splits, because the study asks for a split by admission."""
    by_admission = STUDY.data.pmv_split != "core-patient"
    return [name for name, task in TASKS.items() if by_admission and task.has_own_split]


def patients_apart(wildcards):
    return arms.plain(wildcards.task) not in tasks_split_by_admission()

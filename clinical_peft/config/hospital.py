"""Sections on the hospital: its folders, the synthetic one, cohorts and leaks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, create_model, model_validator

from clinical_peft.config.alternatives import MAPPING, PLAIN, PLAIN_OR_MAPPING
from clinical_peft.config.generated import is_generated
from clinical_peft.config.sections import Name, NoteFile, Section, Seed, UserPath
from clinical_peft.config.tables import Table
from clinical_peft.sources import SOURCES, data_folders, find_source


def _known_source(name: str) -> str:
    if name not in SOURCES:
        raise ValueError(f"expected one of {', '.join(SOURCES)}")
    return name


SourceName = Annotated[str, AfterValidator(_known_source), Field(json_schema_extra={"enum": [*SOURCES]})]
"""A source of `clinical_peft.sources`."""


if TYPE_CHECKING:
    _Folders = Section
else:
    _Folders = create_model(
        "_Folders",
        __base__=Section,
        **{key: (UserPath | None, Field(None, description=text)) for key, text in data_folders().items()},
    )
    """The folders of all sources, one key each."""


class YearGroups(Section):
    """First groups of years, as MIMIC-IV's anchor_year_group names them, of the splits after training."""

    validation: str = Field(description='such as "2014 - 2016"')
    test: str = Field(description='such as "2017 - 2019"')


class YearSplit(Section):
    """A split of patients by the real years around their stays."""

    temporal: YearGroups


class Data(_Folders):
    """Where the hospital's tables are; all of its folders null means the synthetic hospital."""

    whole_release: bool | None = Field(
        None,
        description="whether the tables of notes must have the row counts of the releases; null: those that "
        "SHA256SUMS.txt lists or whose row count is within 5 % of the release",
    )
    splits: Annotated[
        Annotated[Literal["hash"] | UserPath, PLAIN] | Annotated[YearSplit, MAPPING],
        PLAIN_OR_MAPPING,
        Field(
            description="`hash`, a folder of mimic_train.csv, mimic_val.csv and mimic_test.csv, or temporal (mimic-iv)"
        ),
    ] = "hash"
    split_salt: str = Field("clinical-peft", description="salt of the patient-level hash split")
    pmv_split: Literal["core-patient", "derived-random", "beep"] = Field(
        "core-patient", description="split of pmv: by patient, by admission at random, or as in `pmv_labels`"
    )
    pmv_labels: UserPath | None = Field(None, description="BEEP's label file (a pickle), for `pmv_split: beep`")
    carevue_patients: UserPath | None = Field(
        None, description="PATIENTS file of mimic3-carevue; null approximates its patients by ICUSTAYS.DBSOURCE"
    )
    note_files: dict[Name, NoteFile] = Field({}, description="other corpora, by name")
    tables: dict[Name, Table] = Field(
        {}, description="own files of notes, by name: each a corpus, and a source of tasks (docs/data.md)"
    )
    general_corpus: Name | None = Field(
        None,
        description="general text on which forgetting is measured: `general` or one of `note_files`; null is `general` "
        "for bases trained here, and none for others",
    )
    synthetic_for_real_bases: bool = Field(
        False, description="allow a base with real weights to be trained on synthetic notes"
    )

    @model_validator(mode="after")
    def _check_pmv_labels(self) -> "Data":
        if (self.pmv_split == "beep") != (self.pmv_labels is not None):
            raise ValueError("pmv_split: beep and pmv_labels go together; set both or neither")
        return self

    @property
    def files_of_notes(self) -> list[str]:
        """Corpora from the user's own files: not those of the synthetic hospital."""
        return [*(name for name, entry in self.note_files.items() if not is_generated(entry.path)), *self.tables]

    def folder(self, key: str) -> Path | None:
        """Return a source's folder by its key, or None where the study gives none."""
        folder: Path | None = getattr(self, key)
        return folder

    @property
    def synthetic(self) -> bool:
        """Whether the hospital is generated."""
        return all(self.folder(key) is None for key in _Folders.model_fields)


class Synthetic(Section):
    """The synthetic hospital."""

    size: Literal["tiny", "demo", "planted", "gaps", "large"] = "demo"
    seed: Seed = 1


COHORT_KEYS: dict[str, str | None] = {"icd": "separate", "icd_map": None, "ventilation": None}
"""Keys of the section `cohorts` that only some sources know, with their defaults."""


class Cohorts(Section):
    """Where outcomes, and the notes that they are predicted from, come from."""

    source: SourceName = "mimic-iii"
    icd: Literal["separate", "map-to-9", "only-9", "only-10"] = Field(
        "separate",
        description="of mimic-iv, codes of two versions: classes named by version, ICD-10 replaced by `icd_map`, or "
        "one version alone",
    )
    icd_map: UserPath | None = Field(
        None, description="CSV file with icd10_code and icd9_code, for `icd: map-to-9`; none comes with this package"
    )
    ventilation: Literal["adjusted"] | None = Field(
        None,
        description="of mimic-iv: null follows mimic-code's published query of ventilation; `adjusted` measures gaps "
        "in elapsed time and counts oxygen devices without an oxygen flow",
    )

    @model_validator(mode="after")
    def _check_source(self) -> "Cohorts":
        source = find_source(self.source)
        for key, default in COHORT_KEYS.items():
            if getattr(self, key) != default and key not in source.cohort_keys:
                takers = ", ".join(other.name for other in SOURCES.values() if key in other.cohort_keys)
                raise ValueError(f"{key} is for the source {takers}; remove it, or choose another source")
        if self.icd == "map-to-9" and self.icd_map is None:
            raise ValueError(
                "icd: map-to-9 needs icd_map, a CSV file with the columns icd10_code and icd9_code, such as one made "
                "of the General Equivalence Mappings of CMS; or choose separate, only-9 or only-10"
            )
        if self.icd != "map-to-9" and self.icd_map is not None:
            raise ValueError(f"icd_map is for icd: map-to-9, not for {self.icd}; remove one of the two")
        return self


class Leakage(Section):
    """What counts as a repeated note, and what is done about outcomes that a note states."""

    near_duplicate_threshold: float = Field(
        0.5, gt=0, le=1, description="share of a note's shingles that another text holds when it repeats the note"
    )
    shingle_words: int = Field(5, ge=2, le=20, description="words of a shingle")
    drop_stated_outcomes: bool = Field(
        False, description="drop admissions whose note states the task's outcome, by the patterns of the leakage check"
    )
    fail_on_stated_outcomes: bool = Field(
        False, description="end the build when an admission note states its task's outcome, except as family history"
    )

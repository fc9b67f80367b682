"""What the jobs of pretraining corpora read: tables of notes, files of notes, general text, and token shards."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from clinical_peft.config import experiments, notes_in_use
from clinical_peft.config.ablations import notes_of_shards, plain, switches_under
from clinical_peft.config.generated import in_hospital, is_generated
from clinical_peft.data.table_files import table_files
from clinical_peft.sources import SOURCES, Table, hospital_corpora, sources_of_corpus
from clinical_peft.workflow.study_folder import Files, StudyFolder, Wildcards

DEFAULT_GENERAL_CHARACTERS = 8_000_000


class CorpusFiles(StudyFolder):
    """Tables of a hospital, and corpora with their token shards."""

    def table_paths(self, tables: Iterable[Table]) -> list[str]:
        """Return the paths of the tables that a job reads: the synthetic hospital, or files of the study's folders.

        A table that is not there is named as it should be, for Snakemake to report it as missing before any job
        starts; an optional one is dropped. Of one that is there twice both files are named, for the job to refuse.

        Args:
            tables: The tables, each once.
        """
        if self.study.data.synthetic:
            return [self.hospital]
        paths: list[Path] = []
        for table in tables:
            folder = self.study.data.folder(table.key)
            found = table_files(folder, table.name) if folder is not None else []
            if not found and not table.optional:
                found = [(folder or Path(f"(data.{table.key} is not set)")) / f"{table.name}.csv.gz"]
            paths += found
        return list(map(str, paths))

    def table_folder(self, key: str) -> str | None:
        """Return the folder of tables that a key of section `data` names, the synthetic hospital's if that is read."""
        if self.study.data.synthetic:
            return f"{self.hospital}/{key.replace('_', '-')}"
        folder = self.study.data.folder(key)
        return str(folder) if folder is not None else None

    # --- corpora ---------------------------------------------------------------------------------------------------

    def corpus_name(self, wildcards: Wildcards) -> str:
        """Name of a corpus without its switch."""
        return plain(wildcards.corpus)

    def corpus_tables(self, wildcards: Wildcards) -> list[str]:
        """Tables of notes that a corpus is extracted from."""
        sources = sources_of_corpus(plain(wildcards.corpus))
        return sorted(set(self.table_paths(table for source in sources for table in source.note_tables)))

    def corpus_folders(self, wildcards: Wildcards) -> dict[str, str | None]:
        """Folders of the tables of notes by key of section `data`; null for sources that the corpus does not hold."""
        used = {source.name for source in sources_of_corpus(plain(wildcards.corpus))}
        return {
            source.note_key: self.table_folder(source.note_key) if source.name in used else None
            for source in SOURCES.values()
        }

    def corpus_flattened(self, wildcards: Wildcards) -> bool:
        """Whether switch `notes_flattened` is on for a corpus."""
        return switches_under(self.study, wildcards.corpus)["notes_flattened"]

    def whole_release(self, wildcards: Wildcards) -> bool | None:
        """Whether row counts are asserted; those of the synthetic hospital are not compared."""
        return None if self.study.data.synthetic else self.study.data.whole_release

    def threads_for_notes(self, threads: int) -> int:
        """Threads of a job that reads notes; one where they are synthetic.

        Such a job takes seconds, and with one thread it need not wait for a second free core.

        Args:
            threads: Threads for a hospital's notes.
        """
        return 1 if notes_in_use.reads_synthetic_notes(self.study) else threads

    def general_characters(self, wildcards: Wildcards) -> int:
        """Characters of general text, enough for every base that is trained here."""
        sources = [experiments.scratch_source(self.study, base) for base in self.study.bases]
        return max((each.general_characters for each in sources if each), default=DEFAULT_GENERAL_CHARACTERS)

    def note_file(self, wildcards: Wildcards) -> str:
        """The user's file that a corpus is imported from, or the synthetic hospital, which holds it."""
        path = self.note_file_entry(wildcards.corpus).path
        return self.hospital if is_generated(path) else str(path)

    def note_columns(self, wildcards: Wildcards) -> dict[str, Any]:
        """Names of the columns of that file, and its place in the synthetic hospital if it is there."""
        entry = self.note_file_entry(wildcards.corpus)
        return entry.columns | ({"inside": in_hospital(entry.path)} if is_generated(entry.path) else {})

    def note_repetition(self, wildcards: Wildcards) -> dict[str, float | int]:
        """What counts as a repeated note in a file that names no patients; empty for one that does."""
        if self.note_file_entry(wildcards.corpus).subject_column:
            return {}
        leakage = self.study.leakage
        return {
            "near_duplicate_threshold": leakage.near_duplicate_threshold,
            "shingle_words": leakage.shingle_words,
        }

    def repetition(self, wildcards: Wildcards) -> dict[str, float | int]:
        """What counts as one note repeating another."""
        leakage = self.study.leakage
        return {"threshold": leakage.near_duplicate_threshold, "shingle_words": leakage.shingle_words}

    # --- corpora in use --------------------------------------------------------------------------------------------

    def notes(self, wildcards: Wildcards | None = None) -> list[str]:
        """Notes of the corpora in use."""
        return self.paths("notes/{}.parquet", self.corpora_in_use)

    def corpus_logs(self, wildcards: Wildcards | None = None) -> list[str]:
        """Run logs of the corpora in use, and of the one that a pair of them is made from."""
        corpora = self.corpora_in_use
        if set(corpora) & set(self.study.paired_corpora):
            corpora = list(dict.fromkeys([self.study.cohorts.source, *corpora]))
        return self.paths("runs/notes/{}.jsonl", corpora)

    def disjoint_source(self, wildcards: Wildcards) -> Files:
        """Notes that the corpus without held-out patients is made from, if that corpus is in use."""
        in_use = {*self.study.paired_corpora[:1]} & {*self.corpora_in_use}
        return f"{self.root}/notes/{self.study.cohorts.source}.parquet" if in_use else []

    def corpora_with_patients(self, wildcards: Wildcards) -> list[str]:
        """Corpora in use whose subject_id is that of cohorts: a hospital's, or an own table's."""
        generated = {*self.study.data.note_files}.difference(self.study.data.files_of_notes)
        named = {*hospital_corpora(), *self.study.paired_corpora, *self.study.data.tables, *generated}
        return [name for name in self.corpora_in_use if name in named]

    # --- token shards ----------------------------------------------------------------------------------------------

    def token_notes(self, wildcards: Wildcards) -> str:
        """Notes that token shards are made from."""
        return f"{self.root}/notes/{notes_of_shards(wildcards.corpus)}.parquet"

    def token_context(self, wildcards: Wildcards) -> int:
        """Tokens in a block of a corpus's shards."""
        return experiments.token_context(self.study, wildcards.base, wildcards.corpus)

    def token_salt(self, wildcards: Wildcards) -> str:
        """Salt of the split of a corpus's notes."""
        return experiments.token_salt(self.study, wildcards.corpus)

    def token_truncation(self, wildcards: Wildcards) -> bool:
        """Whether switch `truncate_and_pad` is on for a corpus's shards."""
        return switches_under(self.study, wildcards.corpus)["truncate_and_pad"]

    def token_memory(self, wildcards: Wildcards, threads: int) -> str:
        """A gigabyte for each process, whatever the length of notes, and two for the first one's libraries."""
        return f"{2 + threads}GB"

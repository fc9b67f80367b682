"""Errors that a user can cause and fix.

The message of each names the file, row or key, what was expected, what was found and what to do. It never
holds note text: it may be printed on a terminal and kept in logs.
"""


class ClinicalPeftError(Exception):
    """Base class of every error that is shown to the user as one line, without a traceback."""


class ConfigError(ClinicalPeftError):
    """The study's configuration contradicts itself or names something that does not exist."""


class DataError(ClinicalPeftError):
    """An input file or table is missing, malformed, or leads to an empty result."""


class TrackingError(ClinicalPeftError):
    """An MLflow store cannot be reached, refuses what is sent, or does not answer in time."""


class TrainingError(ClinicalPeftError):
    """Training or loading a model cannot go on: a wrong adapter, a non-finite loss, too long a prompt."""


class StorageError(ClinicalPeftError):
    """A file cannot be written: the disk is full, a quota is used up, or a file may not grow so large."""


class StoppedError(ClinicalPeftError):
    """The job was asked to stop and has saved how far it is; the same command goes on from there."""


class StudyInUseError(ClinicalPeftError):
    """Another command runs this study, or jobs of an earlier one are still in a queue."""


class WorkLostError(ClinicalPeftError):
    """Another process has taken over this job, which must write no more."""

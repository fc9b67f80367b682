"""Studies of a user's own table, as their files say them."""

from typing import Any

from clinical_peft.config.experiments import load_study
from clinical_peft.config.layers import deep_merge
from clinical_peft.config.study import Study

SHAPE = {"hidden_size": 32, "intermediate_size": 64, "layers": 2, "heads": 2, "vocabulary": 600, "context": 256}
SCRATCH = {"learning_rate": 3e-3, "context": 64, "train_tokens": 20000, "batch_tokens": 2048, "evaluation_tokens": 4000}

OWN: dict[str, Any] = {
    "study": "own",
    "extends": "none",
    "data": {"tables": {"ours": {"path": "/data/notes.csv", "id": "encounter", "text": "note", "patient": "mrn"}}},
    "tasks": {
        "readmission": {
            "title": "30-day readmission",
            "short": "READM",
            "type": "binary",
            "table": "ours",
            "label_column": "readmitted",
            "classes": ["0", "1"],
        },
        "service": {"type": "multiclass", "table": "ours", "label_column": "service", "min_class_size": 10},
        "problems": {
            "title": "Problems",
            "type": "multilabel",
            "table": "ours",
            "label_column": "codes",
            "delimiter": ";",
        },
    },
    "bases": {
        "tiny": {
            "family": "causal",
            "label": "Tiny",
            "source": {"kind": "scratch", "shape": SHAPE, "recipe": SCRATCH, "general_characters": 200000},
        }
    },
    "methods": {"lora": {"label": "LoRA", "settings": {"type": "lora", "r": 4, "target_modules": ["q_proj"]}}},
    "adapters": {"ours-lora": {"base": "tiny", "method": "lora", "corpus": "ours"}},
    "models": {
        "tfidf": {"kind": "tfidf", "label": "TF-IDF"},
        "clinical": {"base": "tiny", "clinical": "ours-lora", "clinical_mode": "frozen", "label": "Clinical"},
    },
    "matrix": {
        "adapters": ["ours-lora"],
        "models": ["tfidf", "clinical"],
        "tasks": ["service", "readmission", "problems"],
    },
}
"""A binary, a multiclass and a multilabel task on one table, which is also a corpus."""


def own_study(*changes: dict[str, Any]) -> Study:
    """The study of `OWN`, with changes to some of its keys."""
    return load_study(deep_merge(OWN, *changes))


def with_table(**changes: Any) -> dict[str, Any]:
    """Changes to the table."""
    return {"data": {"tables": {"ours": changes}}}


def with_task(**changes: Any) -> dict[str, Any]:
    """A further task `more` of these keys, which the matrix does not select."""
    return {"tasks": {"more": changes}}

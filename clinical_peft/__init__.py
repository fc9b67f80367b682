"""Clinical language-model adapters, from hospital notes to results tables."""

__version__ = "0.1.0"

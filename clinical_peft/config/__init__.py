"""The study: one validated configuration file."""

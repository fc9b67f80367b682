"""Definitions of tables: every module of this package declares, as `TABLE`, a table of every study."""

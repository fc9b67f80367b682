"""Definitions of figures: every module of this package declares, as `FIGURE`, a figure of every study."""

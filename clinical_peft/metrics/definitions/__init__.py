"""Definitions of metrics: every module of this package is read, and what it registers stands in every study."""

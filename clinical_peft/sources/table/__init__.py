"""A user's own table of notes: one file, or one per split, with the labels of any number of tasks.

It is described by a study (`data.tables`) rather than by this package, so it is no entry of the registry of sources.
"""

SOURCE = None

"""Files that let one process at a time run a study or write a work folder."""

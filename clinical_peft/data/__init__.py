"""From hospital tables and note files to notes and labelled cohorts."""

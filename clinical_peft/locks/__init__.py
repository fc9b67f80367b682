"""Files by which one process at a time may do something: run a study, write a work folder."""

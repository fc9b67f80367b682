"""The command `clinical-peft`: one module per verb, each of which calls one function of the library.

A module defines `COMMAND` and imports what it needs inside it, so that `clinical-peft --help` takes no time.
"""

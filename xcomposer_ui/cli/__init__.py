"""The command line's commands: one file each, with `HELP`, `add_arguments(parser)` and `execute(arguments)`,
which returns the exit status.

Exit statuses: 0 done, 2 the user's mistake (one line on stderr); each command documents its further ones.
"""

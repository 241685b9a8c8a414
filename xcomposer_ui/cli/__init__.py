"""The command line's commands: one file each, with `add_to(commands)` and `execute(arguments) -> exit status`.

Exit statuses: 0 done, 2 the user's mistake (one line on stderr); each command documents its further ones.
"""

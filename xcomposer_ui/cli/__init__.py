"""The command line's commands: a file each, with `add_to(commands)` and `execute(arguments) -> exit status`.

Exit statuses: 0 done, 2 the user's mistake (one line on stderr); what else a command returns, it documents.
"""

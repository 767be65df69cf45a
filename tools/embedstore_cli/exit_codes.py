"""The exit codes of both commands, for scripts. docs/operations.md tells what each asks of a person."""

from enum import IntEnum


class ExitCode(IntEnum):
    """How a command ends; each verb's `--help` says what 1 and 3 mean there."""

    DONE = 0
    ATTENTION = 1  # done, and a person has to look: drift, a picture that can't be read, a gate that failed
    ERROR = 2  # not done: a mistake of the user's, or one of ours, which is never to be taken for an answer
    UNKNOWN = 3  # the gate can't tell
    LOCKED = 75  # not done, since another process writes to the store: try again later (EX_TEMPFAIL of sysexits.h)
    INTERRUPTED = 130  # by Ctrl-C: 128 and SIGINT's 2, as a shell tells it
    BROKEN_PIPE = 141  # whoever read the output went away: 128 and SIGPIPE's 13

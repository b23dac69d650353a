"""Commands that end when the process that starts them is gone, even if that was killed."""

__all__ = ["bound", "bound_family"]


def bound(*command: str) -> list[str]:
    """Return a command that is killed when the thread that starts it is gone."""
    return ["setpriv", "--pdeathsig", "KILL", *command]


def bound_family(*command: str) -> list[str]:
    """Return such a command that takes along all that it has started, in whatever session.

    A process namespace ends with its first process; its mounts are its own as well.
    """
    return bound("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *command)

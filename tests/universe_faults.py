"""Faults in the calls that change a folder: the n-th one fails, or the process dies in it."""

import contextlib
import errno
import functools
import os
import signal
import sys
import traceback
from pathlib import Path

CALLS = ("mkdir", "open", "write", "fsync", "symlink", "rename", "replace", "unlink", "rmdir")
# What a full disk may refuse; to take away still works there, and so does to open what exists.
NEEDS_ROOM = ("mkdir", "write", "fsync", "symlink", "rename", "replace")


@contextlib.contextmanager
def faults(fault):
    """Call ``fault(number, name, call)`` in the place of each of CALLS; number counts from 1.

    What fault returns is returned; ``call()`` does what was to be done. Yields the calls so far,
    as (name, arguments).
    """
    made = []
    originals = {name: getattr(os, name) for name in CALLS}

    def watched(name):
        def call(*args, **kwargs):
            made.append((name, args))
            return fault(len(made), name, functools.partial(originals[name], *args, **kwargs))

        return call

    for name in CALLS:
        setattr(os, name, watched(name))
    try:
        yield made
    finally:
        for name, original in originals.items():
            setattr(os, name, original)


def signal_in_call(wanted, signal_number=signal.SIGKILL):
    """Send this process a signal just before it makes a call; of a write half is done then.

    To die after a call is to die before the next: nothing lies between that anybody could see.
    """

    def fault(number, name, call):
        if number == wanted:
            if name == "write":
                descriptor, content = call.args
                written = call.func(descriptor, content[: len(content) // 2])
                os.kill(os.getpid(), signal_number)
                return written
            os.kill(os.getpid(), signal_number)
        return call()

    return fault


def error_in_call(wanted, code, *, lasts=False):
    """Refuse the n-th call; when the fault lasts, also every later one that needs room."""

    def fault(number, name, call):
        needs_room = name in NEEDS_ROOM or (name == "open" and call.args[1] & os.O_CREAT)
        if number == wanted or (lasts and number > wanted and needs_room):
            raise OSError(code, os.strerror(code), str(call.args[0]))
        return call()

    return fault


def refuse_to_move_current(number, name, call):
    if is_move_of_current(name, call.args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    return call()


def is_move_of_current(name, args):
    return name == "replace" and Path(args[1]).name == ".current"


def start_child(work):
    """Do work in a child process; return its id. Its exit status is 0 when all went well."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:  # whatever happened, no second pytest may run on
        if status:
            traceback.print_exc()
            sys.stderr.flush()
        os._exit(status)


def status_of(child):
    """Wait for a child's end or stop; return its wait status."""
    return os.waitpid(child, os.WUNTRACED)[1]

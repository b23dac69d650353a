"""Descriptors that outlive their process: systemd keeps them while it starts a service again.

``FileDescriptorStoreMax=`` in the unit allows it; sd_listen_fds(3) and sd_notify(3) are the
contract. Without systemd nothing is stored and nothing comes back.
"""

import os
import socket
from collections.abc import MutableMapping

__all__ = ["store_descriptor", "take_descriptor"]

# SD_LISTEN_FDS_START
FIRST_DESCRIPTOR = 3


def take_descriptor(name: str, environment: MutableMapping[str, str] = os.environ) -> int | None:
    """Return the descriptor stored under *name* by an earlier life of this service.

    It is the caller's from now on, and not inherited by children. Others that came along under the
    same name, which no life of this service stores, are closed.
    """
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return None
    count = int(environment.get("LISTEN_FDS", "0"))
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    found = [
        FIRST_DESCRIPTOR + index for index in range(count) if names[index : index + 1] == [name]
    ]
    for descriptor in found:
        os.set_inheritable(descriptor, False)  # noqa: FBT003 - the library's own signature
    for surplus in found[1:]:
        os.close(surplus)
    return found[0] if found else None


def store_descriptor(
    name: str, descriptor: int, environment: MutableMapping[str, str] = os.environ
) -> bool:
    """Give systemd a copy to keep; False when nobody keeps it.

    Whether the unit allows it cannot be seen from here: systemd ignores what it does not keep.
    """
    address = environment.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
        try:
            notify.connect(address)
            socket.send_fds(notify, [f"FDSTORE=1\nFDNAME={name}".encode()], [descriptor])
        except OSError:
            return False
    return True

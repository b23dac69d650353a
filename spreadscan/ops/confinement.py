"""What a unit may not do: the confinement that every unit shares, each line with its reason.

systemd.exec(5) and systemd.resource-control(5) say what the settings mean. `systemd-analyze
security` rates them; a test holds every unit to a limit.
"""

from collections.abc import Sequence

__all__ = ["confinement"]

EVERYBODY = """
# Nobody gains rights, not even through a set-uid program.
NoNewPrivileges=yes
RestrictSUIDSGID=yes
# Only what ReadWritePaths names can be written.
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
# No disks, no /dev/mem; /dev/shm and the mounts below /dev stay.
PrivateDevices=yes
DevicePolicy=closed
# The kernel's settings, modules, log, clock and control groups are not theirs.
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
# Other users' processes are not seen. /proc/sys stays: the ledger notes the id of the boot.
ProtectProc=invisible
# No containers of their own, no foreign system calls, no code made at run time.
RestrictNamespaces=yes
LockPersonality=yes
RestrictRealtime=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
KeyringMode=private
# A system user's shared memory outlives its processes; said here because everything rests on it.
RemoveIPC=no
# Regions are 0660: members of the group may steer, others may not even look.
UMask=0007
# A core would hold every mapped region; stacks go to the journal instead (faulthandler).
LimitCORE=0
""".strip()

ON_NETWORK = """
# Talks to exchanges. Netlink and raw sockets are not needed for that.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
""".strip()

OFF_NETWORK = """
# No network at all: it has shared memory, files and systemd's socket.
PrivateNetwork=yes
RestrictAddressFamilies=AF_UNIX
IPAddressDeny=any
""".strip()

LOCKING = """
# Locks regions into memory. The limit alone is not enough where it is capped, the capability alone
# not where it is dropped.
LimitMEMLOCK=infinity
AmbientCapabilities=CAP_IPC_LOCK
CapabilityBoundingSet=CAP_IPC_LOCK
""".strip()

UNPRIVILEGED = """
# Needs no capability, so not even a user that could have one exists for it.
CapabilityBoundingSet=
PrivateUsers=yes
""".strip()


def confinement(
    *, is_on_network: bool, is_locking: bool, writes: Sequence[str], memory_max_mib: int
) -> str:
    """Return the lines that confine a service.

    Args:
        is_on_network: whether it may open connections.
        is_locking: whether it locks memory.
        writes: absolute paths that it may write; those that are absent are skipped.
        memory_max_mib: what it and its children may hold.
    """
    return "\n".join(
        [
            EVERYBODY,
            ON_NETWORK if is_on_network else OFF_NETWORK,
            LOCKING if is_locking else UNPRIVILEGED,
            *(f"ReadWritePaths=-{path}" for path in writes),
            "# A leak ends here and not with the host; threads are few, files are sockets.",
            f"MemoryMax={memory_max_mib}M",
            "TasksMax=64",
            "LimitNOFILE=65536",
        ]
    )

"""Root file systems for the machines of these tests, built from Debian's packages and kept outside.

The cache is keyed by everything an image is made from, so a changed list of packages is a new
image. Nothing of it belongs into the repository. What the host lacks for building is installed.
One process at a time installs and builds: packages and memory are the host's.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from lifeline import bound_family
from ssh_way import make_key
from suites import Suite

__all__ = ["disk_image", "is_root", "root_file_system"]

SUITE = "bookworm"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "spreadscan-deploy"

# A bare server: what an installer leaves, and the packages that the roles would fetch, because the
# machines of these tests have no network at all.
BARE = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "python3-apt", "iproute2",
    "kmod", "procps", "ca-certificates", "sudo", "locales",
)  # fmt: skip
BROUGHT = ("python3-venv", "bash-completion", "chrony", "polkitd", "prometheus-node-exporter")
# What the guide tells an operator to install.
GUIDED = ("sqlite3",)
# An image that nobody has used for so long is not wanted any more; a younger one may be in use.
UNUSED_S = 7 * 86_400


def is_root() -> bool:
    """Whether machines can be made at all."""
    return os.geteuid() == 0


def install_on_this_host(*packages: str) -> None:
    """Install Debian packages that this host lacks; nothing is started by it.

    Raises:
        subprocess.CalledProcessError: there is no apt, no mirror, or no such package.
    """
    asked = subprocess.run(
        ["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\n", *packages],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    present = {line.split()[0] for line in asked.stdout.splitlines() if line.endswith(" installed")}
    missing = [name for name in packages if name not in present]
    if not missing:
        return
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300"]
    for words in (["update"], ["install", "--no-install-recommends", "-y", *missing]):
        subprocess.run(
            [*apt, *words], check=True, timeout=900, env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )  # fmt: skip


@contextlib.contextmanager
def build_lock() -> Iterator[Path]:
    """Let one process at a time install and build; what it left half built is gone."""
    CACHE.mkdir(parents=True, exist_ok=True)
    building = CACHE / "building"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir()
        try:
            yield building
        finally:
            shutil.rmtree(building)


def cached(kind: str, *made_from: str) -> Path:
    """Return where an image made from these things is, or will be; others go when long unused."""
    key = hashlib.sha256("\0".join(made_from).encode()).hexdigest()[:12]
    image = CACHE / f"{kind}-{key}"
    for own in CACHE.glob(f"{image.name}*"):
        os.utime(own)
    for other in CACHE.glob(f"{kind}-*"):
        is_unused = time.time() - other.stat().st_mtime > UNUSED_S
        if is_unused and not other.name.startswith(image.name):
            shutil.rmtree(other) if other.is_dir() else other.unlink()
    return image


def root_file_system(
    suite: Suite, kind: str = "box", packages: Iterable[str] = (*BARE, *BROUGHT, *GUIDED)
) -> Path:
    """Return a folder with a bare system; built when it is not in the cache (about two minutes)."""
    included = ",".join(packages)
    with build_lock() as building:
        install_on_this_host(
            "mmdebstrap", "distro-info-data", "systemd-container", "iproute2", "openssh-client",
            "socat",
        )  # fmt: skip
        folder = cached(kind, *suite, included)
        if folder.is_dir():
            return folder
        root = building / "root"
        suite.bootstrap(root, "minbase", included)
        # Else the first process takes it for the machine's name.
        (root / "etc/hostname").unlink(missing_ok=True)
        root.rename(folder)
    return folder


# The same bare server with a kernel of its own and a boot loader that Ansible can change. Without
# grub-pc, whose installation asks for a disk; the few sectors that it would write are written here.
KERNEL = (
    "linux-image-cloud-amd64",
    "initramfs-tools",
    "zstd",
    "udev",
    "grub2-common",
    "grub-pc-bin",
)
DISK_UUID = "5b1f2c50-0b6e-4e0c-9a34-2f7f4f0a9d11"
DISK_MIB = 4096
PARTITION_SECTOR = 2048
SECTOR_BYTES = 512
DEFAULT_GRUB = """\
GRUB_DEFAULT=0
GRUB_TIMEOUT=0
GRUB_DISTRIBUTOR=Debian
GRUB_CMDLINE_LINUX_DEFAULT="quiet"
GRUB_CMDLINE_LINUX="console=ttyS0 net.ifnames=0"
GRUB_TERMINAL=serial
"""
FIRST_MENU = f"""\
search --no-floppy --fs-uuid --set=root {DISK_UUID}
linux /vmlinuz root=UUID={DISK_UUID} ro quiet console=ttyS0 net.ifnames=0
initrd /initrd.img
boot
"""
# Scripts of update-grub(8) that look for other systems: minutes of emulation for an empty answer.
UNASKED = ("20_linux_xen", "30_os-prober", "30_uefi-firmware")
# What a server does in its first minutes of every day, at no time of its choosing.
MASKED = ("apt-daily.timer", "apt-daily-upgrade.timer", "e2scrub_reap.service")
# What the machine of these tests has; Debian would pack the drivers of all there are.
INITRAMFS = (
    'mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"; '
    'echo MODULES=list > "$1/etc/initramfs-tools/conf.d/list"; '
    'printf "%s\\n" virtio_pci virtio_blk ext4 crc32c > "$1/usr/share/initramfs-tools/modules.d/vm"'
)
NETWORK = "[Match]\nName=eth0\n\n[Network]\nDHCP=yes\n"


def disk_image() -> Path:
    """Return a raw disk with a bare Debian that boots by GRUB; built when it is not in the cache.

    Without loop devices or mounts: the file system is filled while it is made, and the boot loader
    stands where grub-install would embed it.
    """
    packages = ",".join((*BARE, *BROUGHT, *KERNEL))
    with build_lock() as building:
        install_on_this_host(
            "mmdebstrap", "qemu-system-x86", "qemu-utils", "fdisk", "e2fsprogs", "iproute2",
            "openssh-client",
        )  # fmt: skip
        image = cached(
            "disk", SUITE, packages, DEFAULT_GRUB, FIRST_MENU, NETWORK, INITRAMFS, *UNASKED,
            *MASKED, str(DISK_MIB),
        )  # fmt: skip
        if image.is_file():
            return image
        root, disk = building / "root", building / "disk"
        subprocess.run(
            bound_family(
                "mmdebstrap", "--quiet", "--variant=minbase", f"--setup-hook={INITRAMFS}",
                f"--include={packages}", SUITE, str(root),
            ),
            check=True, timeout=1200,
        )  # fmt: skip
        key = image.with_suffix(".key")
        for half in (key, key.with_name(f"{key.name}.pub")):
            half.unlink(missing_ok=True)
        make_key(key)
        _prepare_disk_root(root, key)
        _write_disk(disk, root)
        disk.rename(image)
    return image


def _prepare_disk_root(root: Path, key: Path) -> None:
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copy(key.with_name(f"{key.name}.pub"), root / "root/.ssh/authorized_keys")
    (root / "etc/hostname").write_text("spreadvm\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost spreadvm\n")
    (root / "etc/fstab").write_text(f"UUID={DISK_UUID} / ext4 errors=remount-ro 0 1\n")
    (root / "etc/default/grub").write_text(DEFAULT_GRUB)
    (root / "etc/systemd/network").mkdir(exist_ok=True)
    (root / "etc/systemd/network/20-wired.network").write_text(NETWORK)
    for verb, units in (("enable", ["systemd-networkd"]), ("mask", MASKED)):
        subprocess.run(
            ["systemctl", f"--root={root}", verb, *units], check=True, stderr=subprocess.DEVNULL
        )
    for script in UNASKED:
        (root / "etc/grub.d" / script).chmod(0o644)
    (root / "boot/grub").mkdir(exist_ok=True)
    (root / "boot/grub/grub.cfg").write_text(FIRST_MENU)
    shutil.copytree(root / "usr/lib/grub/i386-pc", root / "boot/grub/i386-pc")


def _write_disk(disk: Path, root: Path) -> None:
    """Write partition table, boot loader and file system; grub-install(8) would do the same."""
    partition, core = disk.with_suffix(".partition"), disk.with_suffix(".core")
    modules = root / "usr/lib/grub/i386-pc"
    size_mib = DISK_MIB - PARTITION_SECTOR * SECTOR_BYTES // 2**20
    subprocess.run(
        ["mke2fs", "-q", "-t", "ext4", "-U", DISK_UUID, "-d", root, partition, f"{size_mib}M"],
        check=True, timeout=300,
    )  # fmt: skip
    subprocess.run(
        [root / "usr/bin/grub-mkimage", "--directory", modules, "--output", core, "--format",
         "i386-pc", "--prefix", "(hd0,msdos1)/boot/grub", "biosdisk", "part_msdos", "ext2"],
        check=True,
    )  # fmt: skip
    with disk.open("wb") as file:
        file.truncate(DISK_MIB * 2**20)
    subprocess.run(
        ["sfdisk", "--quiet", "--no-reread", "--no-tell-kernel", disk], check=True, text=True,
        input=f"label: dos\nstart={PARTITION_SECTOR}, type=83, bootable\n",
    )  # fmt: skip
    place = ["conv=notrunc,sparse", "status=none", f"of={disk}"]
    boot = ["bs=440", "count=1"]
    subprocess.run(["dd", f"if={modules / 'boot.img'}", *boot, *place], check=True)
    after_table = [f"bs={SECTOR_BYTES}", "seek=1"]
    subprocess.run(["dd", f"if={core}", *after_table, *place], check=True)
    in_partition = ["bs=1M", f"seek={PARTITION_SECTOR * SECTOR_BYTES // 2**20}"]
    subprocess.run(["dd", f"if={partition}", *in_partition, *place], check=True)

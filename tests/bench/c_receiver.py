"""Builds receiver.c and runs it: the same bytes, the same work, in plain C."""

import shutil
import subprocess
import tempfile
from pathlib import Path

from mapped_regions import MappedRegions
from quote_frames import legs

import spreadscan
from spreadscan.ops.benchmark import CannotMeasure
from spreadscan.shm.layout import RegionKind

HERE = Path(__file__).parent
KERNEL = Path(spreadscan.__file__).parent / "kernel"
SOURCE = "binance_spot"
PATIENCE_S = 30.0


class CReceiver:
    """A compiled receiver; its program is gone with this object.

    Args:
        regions: where it stores.
        ca_file: whose certificates it believes; None builds one that speaks no TLS.

    Raises:
        CannotMeasure: there is no C compiler, or TLS is wanted and OpenSSL has no headers here.
    """

    def __init__(self, regions: MappedRegions, ca_file: Path | None = None) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise CannotMeasure("no cc on this machine")
        # Not beside the regions: /dev/shm may refuse to execute.
        self._folder = tempfile.TemporaryDirectory(prefix="spreadscan-bench-")
        self._program = Path(self._folder.name) / "receiver"
        command = [compiler, "-O3", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Werror"]
        if ca_file is not None:
            _require_openssl(compiler)
            command.append("-DOVER_TLS")
        command += [f"-I{KERNEL}", str(HERE / "receiver.c"), "-o", str(self._program), "-lm"]
        if ca_file is not None:
            command += ["-lssl", "-lcrypto"]
        subprocess.run(command, check=True)
        symbols = self._program.with_name("symbols")
        symbols.write_text("".join(f"{symbol}\n" for symbol, *_ in legs(SOURCE)), encoding="utf-8")
        self._regions = [
            Path(regions.folder) / kind.name for kind in (RegionKind.PRICES, RegionKind.DIRTY)
        ]
        self._symbols = symbols
        self._trust = [] if ca_file is None else [str(ca_file)]

    def burst(self, port: int, path: str, count: int) -> float:
        """Frames a second of CPU time, from the answer to the upgrade until the close frame."""
        stored, taken_ns = map(int, self._run(port, path)[0].split())
        assert stored == count, stored
        return count / taken_ns * 1e9

    def paced(self, port: int, path: str) -> list[float]:
        """Microseconds from each frame's sending to its publication."""
        return [int(line) / 1000 for line in self._run(port, path)[1:]]

    def _run(self, port: int, path: str) -> list[str]:
        answer = subprocess.run(
            [self._program, str(port), path, self._symbols, *self._regions, *self._trust],
            check=True, capture_output=True, timeout=PATIENCE_S,
        )  # fmt: skip
        return answer.stdout.decode().splitlines()


def _require_openssl(compiler: str) -> None:
    probe = subprocess.run(
        [compiler, "-E", "-x", "c", "-"], input=b"#include <openssl/ssl.h>\n",
        check=False, capture_output=True,
    )  # fmt: skip
    if probe.returncode:
        raise CannotMeasure("no headers of OpenSSL on this machine")

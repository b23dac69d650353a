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
    """A compiled receiver; its program is gone with this object."""

    def __init__(self, regions: MappedRegions) -> None:
        compiler = shutil.which("cc")
        if compiler is None:
            raise CannotMeasure("no cc on this machine")
        # Not beside the regions: /dev/shm may refuse to execute.
        self._folder = tempfile.TemporaryDirectory(prefix="spreadscan-bench-")
        self._program = Path(self._folder.name) / "receiver"
        subprocess.run(
            [compiler, "-O3", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Werror", f"-I{KERNEL}",
             str(HERE / "receiver.c"), "-o", str(self._program), "-lm"],
            check=True,
        )  # fmt: skip
        symbols = self._program.with_name("symbols")
        symbols.write_text("".join(f"{symbol}\n" for symbol, *_ in legs(SOURCE)), encoding="utf-8")
        self._regions = [
            Path(regions.folder) / kind.name for kind in (RegionKind.PRICES, RegionKind.DIRTY)
        ]
        self._symbols = symbols

    def burst(self, port: int, path: str, count: int) -> float:
        """Frames a second, from the first frame until the connection ends."""
        stored, elapsed_ns = map(int, self._run(port, path)[0].split())
        assert stored == count, stored
        return count / elapsed_ns * 1e9

    def paced(self, port: int, path: str) -> list[float]:
        """Microseconds from each frame's sending to its publication."""
        return [int(line) / 1000 for line in self._run(port, path)[1:]]

    def _run(self, port: int, path: str) -> list[str]:
        answer = subprocess.run(
            [self._program, str(port), path, self._symbols, *self._regions],
            check=True, capture_output=True, timeout=PATIENCE_S,
        )  # fmt: skip
        return answer.stdout.decode().splitlines()

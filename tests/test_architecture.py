"""The walls of the design, each with a planted violation that it must catch."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "spreadscan"

STAGES = ("discovery", "feed", "engine", "tracker")
# Spread arithmetic stands in one place; the tracker and the board use it.
SHARED = ("spreadscan.engine.spread",)

EXCHANGES = ("binance", "bybit", "okx", "mexc")

MAPPING_MODULES = ("mmap", "posix_ipc", "multiprocessing")

IMPURE_MODULES = ("time", "datetime", "socket", "asyncio", "logging", "threading", "subprocess")
PURE_FILES = (
    "model.py",
    "errors.py",
    "topology.py",
    "symbols.py",
    "directions.py",
    "shm/counters.py",
    "shm/layout.py",
    "exchanges/*.py",
    "engine/spread.py",
    "engine/routes.py",
    "tracker/book.py",
    "tracker/columns.py",
    "tracker/episode.py",
    "tracker/frames.py",
    "tracker/names.py",
    "tracker/rows.py",
    "tracker/schema.py",
    "tracker/sight.py",
    "tracker/snapshot.py",
    "tracker/table.py",
    "tracker/windows.py",
    "discovery/evidence.py",
    "discovery/findings.py",
    "discovery/identity.py",
    "discovery/intersect.py",
    "discovery/member.py",
    "discovery/multiplier.py",
    "discovery/naming.py",
    "discovery/outcomes.py",
    "discovery/publish.py",
    "discovery/replace.py",
    "discovery/screen.py",
    "feed/backlog.py",
    "feed/backoff.py",
    "feed/rotation.py",
    "feed/contradiction.py",
    "feed/doubt.py",
    "feed/legible.py",
    "feed/funding_book.py",
    "feed/rhythm.py",
    "feed/seen.py",
    "feed/sign_of_life.py",
    "feed/silence.py",
    "feed/subscriptions.py",
    "manners/bans.py",
    "manners/pace.py",
    "manners/placement.py",
    "manners/requests.py",
    "manners/shards.py",
    "ops/explanation.py",
    "ops/reconcile.py",
    "ops/statistics.py",
    "ops/waterfall.py",
)

CATCHES_EVERYTHING = "runtime/process.py"

# Else arm64 joins a product and a sum with one rounding, and the kernel's spreads are not those of
# engine/spread.py.
COMPILED_WITH = {"-ffp-contract=off"}
# Else structs must not be copied as words; that they may costs the others some percent of a frame.
COPIES_WORDS = {"-fno-strict-aliasing"}

MAX_LINES = 400
# The layout is one page on purpose: every byte between processes, to be read in one go.
LONG_ON_PURPOSE = {"shm/layout.py": 480}


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield (line, dotted name) of everything a file imports, names of ``from`` included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield node.lineno, module
            for alias in node.names:
                yield node.lineno, f"{module}.{alias.name}"


def stage_of(file: str) -> str | None:
    first = file.partition("/")[0]
    return first if first in STAGES else None


def imports_of_other_stages(file: str, text: str) -> list[str]:
    own = stage_of(file)
    if own is None:
        return []
    found = []
    for line, name in imports(ast.parse(text)):
        if any(name == shared or name.startswith(f"{shared}.") for shared in SHARED):
            continue
        if name == "spreadscan.engine" and f"from {name} import spread\n" in text:
            continue
        other = next(
            (stage for stage in STAGES if name.split(".")[:2] == ["spreadscan", stage]), ""
        )
        if other not in {"", own}:
            found.append(f"{file}:{line}: imports {name}")
    return found


def relative_imports(file: str, text: str) -> list[str]:
    return [
        f"{file}:{line}: relative import"
        for line, name in imports(ast.parse(text))
        if name.startswith(".")
    ]


def exchange_names(file: str, text: str) -> list[str]:
    if file.startswith("sim/"):
        return []
    own = file.removeprefix("exchanges/").removesuffix(".py")
    return [
        f"{file}:{number}: names {exchange}"
        for number, line in enumerate(text.splitlines(), 1)
        for exchange in EXCHANGES
        if exchange in line.lower() and not (file.startswith("exchanges/") and exchange == own)
    ]


def memory_mappings(file: str, text: str) -> list[str]:
    if file.startswith(("shm/", "kernel/")):
        return []
    return [
        f"{file}:{line}: imports {name}"
        for line, name in imports(ast.parse(text))
        if name.split(".")[0] in MAPPING_MODULES
    ]


def impure_imports(file: str, text: str) -> list[str]:
    if not any(Path(file).match(pattern) for pattern in PURE_FILES):
        return []
    return [
        f"{file}:{line}: imports {name}"
        for line, name in imports(ast.parse(text))
        if name.split(".")[0] in IMPURE_MODULES
    ]


def catches_of_everything(file: str, text: str) -> list[str]:
    if file == CATCHES_EVERYTHING:
        return []
    return [
        f"{file}:{node.lineno}: catches everything"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ExceptHandler) and is_catching_everything(node)
    ]


def is_catching_everything(handler: ast.ExceptHandler) -> bool:
    last = handler.body[-1]
    if isinstance(last, ast.Raise) and last.exc is None:
        return False  # cleans up and lets the error go on
    caught = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return any(
        kind is None or (isinstance(kind, ast.Name) and kind.id in {"Exception", "BaseException"})
        for kind in caught
    )


def too_long(file: str, text: str) -> list[str]:
    limit = LONG_ON_PURPOSE.get(file, MAX_LINES)
    lines = text.count("\n")
    return [f"{file}: {lines} lines, at most {limit}"] if lines > limit else []


RULES = {
    "a stage imports no other stage": imports_of_other_stages,
    "imports are absolute": relative_imports,
    "an exchange is named in its own file and the simulator only": exchange_names,
    "only shm and kernel map memory": memory_mappings,
    "pure files know no clock, socket or log": impure_imports,
    "only runtime.process catches everything": catches_of_everything,
    "no file is too long to read": too_long,
}


def package_files() -> list[str]:
    return sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("rule", RULES)
def test_package_keeps(rule):
    files = package_files()

    broken = [
        line
        for file in files
        for line in RULES[rule](file, (PACKAGE / file).read_text(encoding="utf-8"))
    ]

    assert files
    assert not broken, "\n".join(broken)


def test_whole_kernel_is_compiled_with_what_its_code_takes_for_granted():
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())
    modules = project["tool"]["setuptools"]["ext-modules"]

    assert {Path(*module["sources"]) for module in modules} == {
        path.relative_to(PACKAGE.parent) for path in (PACKAGE / "kernel").glob("*.pyx")
    }
    for module in modules:
        shares = "spreadscan/kernel/atomics.h" in module["depends"]
        expected = COMPILED_WITH | (COPIES_WORDS if shares else set())
        assert set(module["extra-compile-args"]) >= expected, module["name"]


def test_stubs_and_kernel_name_no_exchange():
    files = [path for kind in ("*.pyx", "*.pxd", "*.pyi", "*.h") for path in PACKAGE.rglob(kind)]

    broken = [
        line
        for path in files
        for line in exchange_names(str(path.relative_to(PACKAGE)), path.read_text(encoding="utf-8"))
    ]

    assert files
    assert not broken, "\n".join(broken)


@pytest.mark.parametrize(
    ("rule", "file", "text"),
    [
        (imports_of_other_stages, "feed/process.py", "import spreadscan.engine.process\n"),
        (imports_of_other_stages, "feed/process.py", "from spreadscan import tracker\n"),
        (imports_of_other_stages, "tracker/store.py", "from spreadscan.engine import routes\n"),
        (imports_of_other_stages, "discovery/fetch.py", "from spreadscan.feed import *\n"),
        (relative_imports, "feed/process.py", "from . import backoff\n"),
        (relative_imports, "feed/process.py", "from ..engine import routes\n"),
        (exchange_names, "feed/process.py", 'if source == "okx_spot":\n    pass\n'),
        (exchange_names, "exchanges/okx.py", "# unlike Binance\n"),
        (exchange_names, "exchanges/_adapter.py", "# see MEXC\n"),
        (memory_mappings, "feed/process.py", "import mmap\n"),
        (memory_mappings, "ops/board.py", "from posix_ipc import SharedMemory\n"),
        (memory_mappings, "ops/board.py", "from multiprocessing import shared_memory\n"),
        (impure_imports, "tracker/episode.py", "from time import monotonic_ns\n"),
        (impure_imports, "exchanges/kraken.py", "import logging\n"),
        (impure_imports, "model.py", "import asyncio.events\n"),
        (impure_imports, "feed/backoff.py", "def f():\n    import time\n"),
        (catches_of_everything, "feed/process.py", "try:\n    f()\nexcept:\n    g()\n"),
        (catches_of_everything, "cli/up.py", "try:\n    f()\nexcept Exception:\n    g()\n"),
        (catches_of_everything, "cli/up.py",
         "try:\n    f()\nexcept (OSError, BaseException):\n    g()\n"),
        (too_long, "feed/process.py", "x = 1\n" * (MAX_LINES + 1)),
    ],
)  # fmt: skip
def test_planted_violation_is_caught(rule, file, text):
    assert rule(file, text)


@pytest.mark.parametrize(
    ("rule", "file", "text"),
    [
        (imports_of_other_stages, "tracker/snapshot.py",
         "from spreadscan.engine.spread import entry_spread_bps\n"),
        (imports_of_other_stages, "tracker/snapshot.py", "from spreadscan.engine import spread\n"),
        (imports_of_other_stages, "feed/process.py", "from spreadscan.feed import backoff\n"),
        (imports_of_other_stages, "ops/board.py", "from spreadscan.engine import routes\n"),
        (exchange_names, "exchanges/okx.py", 'NAME = "okx"\n'),
        (exchange_names, "sim/venues/okx.py", "# Binance acks both\n"),
        (memory_mappings, "shm/region.py", "import mmap\n"),
        (impure_imports, "feed/process.py", "import asyncio\n"),
        (catches_of_everything, "runtime/process.py",
         "try:\n    f()\nexcept Exception:\n    g()\n"),
        (catches_of_everything, "tracker/store.py",
         "try:\n    f()\nexcept BaseException:\n    rollback()\n    raise\n"),
    ],
)  # fmt: skip
def test_lawful_line_is_let_through(rule, file, text):
    assert not rule(file, text)

"""``spreadscan decode``: recorded frames of one source, as normalised quotes, one JSON line each.

Goes through the same kernel and the same exchange file as a feed, so what it prints is what a feed
would store or refuse. A feed's own judgement over time (an update id older than the stored one)
needs a store and is not made here.
"""

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, BinaryIO, NoReturn

import msgspec
import orjson
import typer

from spreadscan.config import load_config
from spreadscan.errors import EXIT_USAGE, FeedError, SpreadscanError
from spreadscan.exchanges import Source, sources
from spreadscan.exchanges._adapter import Control, Ignored
from spreadscan.kernel.extract import Extracted, Extractor
from spreadscan.model import QuoteStatus
from spreadscan.rawlog import is_note
from spreadscan.shm.layout import MAX_SYMBOLS
from spreadscan.universe import METADATA, Universe, load_universe

__all__ = ["FrameDecoder", "decode", "frame_of_line"]

DEFAULT_CONFIG = Path("config/config.toml")

# Recorders put their receive time first: nanoseconds and a space, or seconds and a colon.
RECEIVE_TIME = re.compile(rb"\d+(?:\.\d+)?:? +(?=\S)")
HEX = re.compile(rb"(?:[0-9a-fA-F]{2})+")
CANONICAL = re.compile(r"(.+?)[-_]?(USDT)(?:-SWAP)?")

# A frame of these may yet be an answer that names a symbol, such as an acknowledgement.
MAY_BE_CONTROL = {
    QuoteStatus.NOT_A_QUOTE,
    QuoteStatus.MISSING_FIELD,
    QuoteStatus.UNKNOWN_SYMBOL,
}


def frame_of_line(line: bytes) -> bytes:
    """Return the frame in a line: without its receive time, and hex as the bytes it stands for."""
    text = line.strip()
    time = RECEIVE_TIME.match(text)
    if time:
        text = text[time.end() :]
    return bytes.fromhex(text.decode()) if HEX.fullmatch(text) else text


class FrameDecoder:
    """Turns frames of one source into what is printed for them.

    Args:
        source: whose frames.
        universe: gives symbols their names and units; None takes every symbol that a frame names
            as it comes, in the exchange's own units.
    """

    def __init__(self, source: Source, universe: Universe | None) -> None:
        self._classify = source.adapter.classify
        self._names: dict[int, str] = {}
        self._takes_any = universe is None
        legs = []
        if universe is not None:
            legs = universe.legs(source.source_id)
            self._names = {row.symbol_id: row.name for row in universe.symbols}
        self._extractor = Extractor(source.spec.plan, legs)

    def decode(self, frame: bytes) -> dict[str, Any]:
        """Return a quote, ``{"control": …}`` or ``{"error": …}``."""
        if not frame:
            return {"error": "empty"}
        found = self._extractor.decode(frame)
        if found.status == QuoteStatus.UNKNOWN_SYMBOL and self._takes_any:
            found = self._registered(found, frame)
        status = QuoteStatus(found.status)
        if status is QuoteStatus.QUOTE:
            return self._quote(found)
        if status in MAY_BE_CONTROL:
            answer = self._control(frame, is_quote_like=status is not QuoteStatus.NOT_A_QUOTE)
            if answer is not None:
                return answer
        name = self._names.get(found.symbol_id, found.symbol)
        reason = {"error": status.name.lower()}
        return reason if name is None else reason | {"symbol": name}

    def _registered(self, found: Extracted, frame: bytes) -> Extracted:
        """Take up a symbol met for the first time, and read its frame again."""
        symbol_id = len(self._names)
        if found.symbol is None or symbol_id == MAX_SYMBOLS:
            return found
        try:
            self._extractor.add_leg(found.symbol, symbol_id, 1.0, 1.0)
        except ValueError:
            # Longer than any name the kernel's table holds.
            return found
        pair = CANONICAL.fullmatch(found.symbol)
        self._names[symbol_id] = f"{pair[1]}-{pair[2]}" if pair else found.symbol
        return self._extractor.decode(frame)

    def _quote(self, found: Extracted) -> dict[str, Any]:
        return {
            "symbol": self._names[found.symbol_id],
            "bid": found.bid,
            "bid_qty": found.bid_qty,
            "ask": found.ask,
            "ask_qty": found.ask_qty,
            "exchange_ms": None if found.exchange_ns < 0 else found.exchange_ns // 1_000_000,
            "update_id": None if found.update_id < 0 else found.update_id,
        }

    def _control(self, frame: bytes, *, is_quote_like: bool) -> dict[str, Any] | None:
        """Return the adapter's word on a frame; None leaves a quote-like frame its refusal."""
        try:
            control: Control = self._classify(frame)
        except FeedError as error:
            malformed = {"error": QuoteStatus.MALFORMED.name.lower(), "detail": str(error)}
            return None if is_quote_like else malformed
        if is_quote_like and isinstance(control, Ignored):
            return None
        kind = {"type": type(control).__name__.lower()}
        return {"control": kind | msgspec.to_builtins(control)}


def decode(
    *,
    source: Annotated[str, typer.Argument(help="Whose frames: EXCHANGE_MARKET.")],
    file: Annotated[
        Path | None, typer.Argument(help="Frames, one a line; standard input when absent.")
    ] = None,
    universe: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A folder written by pair-discovery.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Whose universe is taken; default config/config.toml.")
    ] = None,
) -> None:
    """Print one JSON line for each line of recorded frames.

    Text frames as they are, binary ones in hex, each with or without its receive time. Without a
    universe every symbol is taken as it comes, in the exchange's own units.
    """
    if source not in sources():
        _refuse(f"no source {source!r}; there are {', '.join(sources())}", EXIT_USAGE)
    try:
        decoder = FrameDecoder(sources()[source], _universe(universe, config))
    except SpreadscanError as error:
        _refuse(str(error), error.exit_code)
    if file is None:
        _print_all(decoder, sys.stdin.buffer, is_live=True)
        return
    try:
        lines = file.open("rb")
    except OSError as error:
        _refuse(f"{file}: {error.strerror}", EXIT_USAGE)
    with lines:
        _print_all(decoder, lines, is_live=False)


def _refuse(text: str, exit_code: int) -> NoReturn:
    typer.echo(f"spreadscan decode: {text}", err=True)
    raise typer.Exit(exit_code)


def _universe(directory: Path | None, config: Path | None) -> Universe | None:
    """Return the universe that was asked for, or the configuration's when it has one."""
    if directory is not None:
        return load_universe(directory)
    if config is not None or DEFAULT_CONFIG.exists():
        tree = load_config(config or DEFAULT_CONFIG)
        directory = tree.path(tree.runtime.generated_dir)
        if (directory / METADATA).exists():
            typer.echo(f"spreadscan decode: symbols and units of {directory}", err=True)
            return load_universe(directory)
    typer.echo(
        "spreadscan decode: no universe; symbols as they come, in the exchange's own units",
        err=True,
    )
    return None


def _print_all(decoder: FrameDecoder, lines: Iterable[bytes], *, is_live: bool) -> None:
    out: BinaryIO = sys.stdout.buffer
    try:
        for line in lines:
            frame = frame_of_line(line)
            if is_note(frame):
                # Of the recorder: not what the exchange sent.
                continue
            out.write(orjson.dumps(decoder.decode(frame)) + b"\n")
            if is_live:
                out.flush()
        out.flush()
    except BrokenPipeError:
        # The reader, such as head, has seen enough; the interpreter must not try to flush again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

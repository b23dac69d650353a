"""Subscribes everything that a simulator of the given size serves, and reads it away.

Usage: ``drain_process.py WS_URL SYMBOLS``; ends when a connection ends. No frame is looked at, so
that the reader costs as little as it can beside the simulator that is measured.
"""

import asyncio
import base64
import json
import os
import sys
from urllib.parse import urlsplit

from spreadscan.sim.venues import venues
from spreadscan.sim.world import build_venues, listed_symbols

READ_BYTES = 1 << 20
MASK = bytes(4)  # a mask of zeros leaves the payload as it is


def chunks(items, size):
    return [items[start : start + size] for start in range(0, len(items), size)]


def requests(source, symbols):
    match source:
        case "binance_spot" | "binance_futures":
            for some in chunks(symbols, 200):
                params = [f"{symbol.lower()}@bookTicker" for symbol in some]
                yield {"method": "SUBSCRIBE", "params": params, "id": 1}
        case "okx_spot" | "okx_futures":
            args = [{"channel": "bbo-tbt", "instId": symbol} for symbol in symbols]
            yield {"op": "subscribe", "args": args}
        case "bybit_spot" | "bybit_futures":
            for some in chunks(symbols, 10):
                yield {"op": "subscribe", "args": [f"orderbook.1.{symbol}" for symbol in some]}
        case "mexc_spot":
            prefix = "spot@public.aggre.bookTicker.v3.api.pb@100ms@"
            yield {"method": "SUBSCRIPTION", "params": [prefix + symbol for symbol in symbols]}
        case _:
            for symbol in symbols:
                yield {"method": "sub.depth.full", "param": {"symbol": symbol, "limit": 5}}


async def drain(url, source, symbols):
    reader, writer = await asyncio.open_connection(url.hostname, url.port, limit=READ_BYTES)
    key = base64.b64encode(os.urandom(16)).decode()
    writer.write(
        f"GET /{source} HTTP/1.1\r\nHost: {url.netloc}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    answer = await reader.readuntil(b"\r\n\r\n")
    assert b" 101 " in answer, answer
    for request in requests(source, symbols):
        payload = json.dumps(request).encode()
        writer.write(bytes((0x81, 0xFE)) + len(payload).to_bytes(2) + MASK + payload)
    while await reader.read(READ_BYTES):
        pass


async def main(url, count):
    by_source = {}
    for source, symbol in listed_symbols(build_venues(tuple(venues()), count)):
        by_source.setdefault(source, []).append(symbol)
    async with asyncio.TaskGroup() as tasks:
        for source, symbols in by_source.items():
            for some in chunks(symbols, 30 if source == "mexc_spot" else 600):
                tasks.create_task(drain(url, source, some))


asyncio.run(main(urlsplit(sys.argv[1]), int(sys.argv[2])))

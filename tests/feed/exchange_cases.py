"""An exchange of a test's own, that speaks as one with letters for symbols."""

import asyncio
import contextlib
import json

import websockets

CHANNEL = "orderbook.1."


def quote(symbol, update_id):
    data = {"s": symbol, "b": [["1.5", "2"]], "a": [["1.6", "3"]], "u": update_id}
    return json.dumps({"topic": CHANNEL + symbol, "type": "snapshot", "data": data, "cts": 1})


def legs(symbols, **changed):
    """Legs with the ids of the letters' places in the alphabet, but for those that are given."""
    return [changed.get(symbol, (symbol, ord(symbol) - ord("A"), 1.0, 1.0)) for symbol in symbols]


class Exchange:
    """Keeps what each connection holds, answers in order, and may be told to wait or refuse."""

    def __init__(self):
        self.connections = []
        self.held = []
        self.log = []
        """(connection, operation, symbols)."""
        self.sent = 0
        self.silent = set()
        """Symbols that are not quoted when they are subscribed."""
        self.is_shut = False
        """Handshakes are refused."""
        self.on_connect = lambda: None
        self.refusal = lambda _operation, _symbols: None
        self.may_connect = asyncio.Event()
        self.may_connect.set()
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self._changed = asyncio.Event()

    def serving(self, port, tls):
        return websockets.serve(
            self._serve,
            "127.0.0.1",
            port,
            ssl=tls,
            compression=None,
            process_request=self._greet,
        )

    async def _greet(self, connection, _request):
        await self.may_connect.wait()
        return connection.respond(503, "") if self.is_shut else None

    async def _serve(self, connection):
        number = len(self.connections)
        self.connections.append(connection)
        self.held.append(set())
        self.on_connect()
        with contextlib.suppress(websockets.ConnectionClosed):
            await self._converse(number, connection)

    async def _converse(self, number, connection):
        async for message in connection:
            request = json.loads(message)
            if request["op"] == "ping":
                continue
            symbols = [topic.removeprefix(CHANNEL) for topic in request["args"]]
            self.log.append((number, request["op"], "".join(symbols)))
            await self.may_answer.wait()
            text = self.refusal(request["op"], symbols)
            answer = {"success": text is None, "ret_msg": text or "", "op": request["op"]}
            await connection.send(json.dumps(answer | {"req_id": request["req_id"]}))
            if text is not None:
                continue
            if request["op"] == "unsubscribe":
                self.held[number] -= set(symbols)
                self._changed.set()
                continue
            self.held[number] |= set(symbols)
            self._changed.set()
            for symbol in symbols:
                if symbol not in self.silent:
                    await self.quote(number, symbol, 1)

    async def holds(self, number, symbols):
        """Wait until a connection has subscribed these and no others."""
        while self.held[number] != set(symbols):
            self._changed.clear()
            await self._changed.wait()

    async def quote(self, number, symbol, update_id):
        await self.connections[number].send(quote(symbol, update_id))
        self.sent += 1

    def quoting(self, number, symbols, update_id):
        """A step that quotes some symbols on one connection."""

        async def send():
            for symbol in symbols:
                await self.quote(number, symbol, update_id)

        return send

    def asked(self):
        """The log without the first requests of every connection."""
        return self.log[len(self.connections) :]

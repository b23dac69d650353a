"""The contract of a simulated exchange: its REST bodies and its side of the conversation, sans I/O.

One file an exchange (``sim/venues/<name>.py``) ends in ``VENUE = <class>``, one object of which is
one source. Written from the exchanges' documentation and recordings, and on purpose without a
look at ``spreadscan.exchanges``: two independent readings that must agree.

A *row* is the number of a listing in the whole simulated world. The server owns sockets and
subscriptions; a *session* decides what one client is told.
"""

from collections.abc import Mapping, Sequence
from typing import ClassVar, NamedTuple, Protocol

from spreadscan.model import Market
from spreadscan.sim.manners import Ledger, Limits, SlidingCount
from spreadscan.sim.market import Quote
from spreadscan.sim.universe import Coin, Listing

__all__ = [
    "Action",
    "Client",
    "Close",
    "Intake",
    "Listen",
    "Ping",
    "RecordedQuote",
    "RestReply",
    "Send",
    "Session",
    "Target",
    "Unlisten",
    "Venue",
]


class Send(NamedTuple):
    """Send one text frame."""

    text: str


class Close(NamedTuple):
    """End the connection."""

    code: int
    reason: str


class Ping(NamedTuple):
    """Send a WebSocket ping; the server tells the session when its pong comes."""

    payload: str


class Listen(NamedTuple):
    """Quotes of this row go to this connection from now on."""

    row: int
    with_snapshot: bool
    """Send the present quote at once."""


class Unlisten(NamedTuple):
    """Quotes of this row no longer go to this connection."""

    row: int


Action = Send | Close | Ping | Listen | Unlisten


class Target(NamedTuple):
    """What a client asked for in its request line, below the source's own address."""

    path: str
    query: Mapping[str, str]


class Client(NamedTuple):
    """What a session is given when it begins."""

    ledger: Ledger
    """Where overruns are recorded."""
    directory: Mapping[str, int]
    """Exchange symbol to row, for everything that this address serves."""
    number: int
    """Of the connection, for ids that the exchange gives it."""
    opened_s: float
    """Monotonic time of the handshake."""


class RestReply(NamedTuple):
    """One answer over REST; the body is JSON."""

    status: int
    body: bytes


class RecordedQuote(NamedTuple):
    """What a recorded frame says."""

    exchange_symbol: str
    mid: float
    """In quoted units."""


class Intake:
    """What every session does first: count a frame and hold it against the limits."""

    def __init__(self, client: Client) -> None:
        self._ledger = client.ledger
        self._messages = SlidingCount(1.0)
        self._requests = SlidingCount(3600.0)

    def refusal(self, message: str | bytes, now_s: float) -> Close | None:
        """Count one incoming frame; return the end of the connection where it goes too far."""
        ledger, limits = self._ledger, self._ledger.limits
        ledger.messages += 1
        recent = self._messages.add(now_s)
        ledger.check("messages_per_s", limits.messages_per_s, recent)
        if limits.messages_fatal is not None and recent >= limits.messages_fatal:
            return Close(1008, "Too many requests")
        size = len(message.encode() if isinstance(message, str) else message)
        if ledger.check("message_bytes", limits.message_bytes, size):
            return Close(1009, "message too big")
        return None

    def count_request(self, now_s: float) -> None:
        """Count one subscribe or unsubscribe frame."""
        self._ledger.subscribes += 1
        found = self._requests.add(now_s)
        self._ledger.check("requests_per_hour", self._ledger.limits.requests_per_hour, found)

    def has_too_many(self, topics: int) -> bool:
        """Hold a connection's number of topics against the limit."""
        self._ledger.most_topics = max(self._ledger.most_topics, topics)
        limit = self._ledger.limits.topics_per_connection
        return self._ledger.check("topics_per_connection", limit, topics)


class Session(Protocol):
    """One client's connection. The server calls in, the session answers with actions."""

    form: str
    """Which of the venue's frame forms this client reads; see Venue.encode."""
    last_push_s: float
    """Set by the server when data goes out."""

    def opened(self) -> list[Action]:
        """Greet a new client."""

    def received(self, message: str | bytes, now_s: float) -> list[Action]:
        """Answer one frame."""

    def tick(self, now_s: float) -> list[Action]:
        """Let time pass; called about once a second."""

    def ponged(self, now_s: float) -> None:
        """Note that the last ping was answered."""


class Venue(Protocol):
    """One source of one exchange."""

    name: ClassVar[str]
    resend_quiet_s: ClassVar[float | None]
    """A row without news for this long is sent again; None where silence stays silence."""
    shares_address: ClassVar[bool]
    """Whether one socket serves the symbols of both markets."""

    source: str
    listings: tuple[Listing, ...]
    limits: Limits

    def __init__(self, market: Market, coins: Sequence[Coin]) -> None:
        """List every coin on this market."""

    def rest(self, target: Target, now_ms: int) -> RestReply:
        """Answer one GET."""

    def session(self, target: Target, client: Client) -> Session | None:
        """Begin a conversation; None where no socket is served at that path."""

    def encode(self, listing: Listing, quote: Quote, form: str) -> str:
        """Write one quote as the exchange sends it to clients that read ``form``."""

    def read(self, frame: bytes) -> RecordedQuote | None:
        """Return what a recorded frame says; None when it is no two-sided quote of this source."""

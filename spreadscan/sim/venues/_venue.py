"""The contract of a simulated exchange: its REST answers and its side of a conversation, sans I/O.

One file an exchange (``sim/venues/<name>.py``) ends in ``VENUE = <class>``, one object of which is
one source. Written from the exchanges' documentation and recordings, and on purpose without a
look at ``spreadscan.exchanges``: two independent readings that must agree.

A *row* is the number of a listing in the whole simulated world. The server owns sockets and
subscriptions; a *session* decides what one client is told.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

import orjson

from spreadscan.model import Market
from spreadscan.sim.manners import Ledger, Limits, SlidingCount
from spreadscan.sim.market import Quote
from spreadscan.sim.universe import Coin, Listing, Naming

__all__ = [
    "Action",
    "Board",
    "Client",
    "Close",
    "Endpoint",
    "Frame",
    "Intake",
    "Listen",
    "Moment",
    "Ping",
    "RecordedQuote",
    "RestReply",
    "Send",
    "Session",
    "Subject",
    "Target",
    "Unlisten",
    "Venue",
    "Window",
]

Frame = str | bytes
"""Text is sent as a text frame, bytes as a binary one."""


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
    wall_offset_s: float = 0.0
    """Unix time less monotonic time."""


Subject = Literal["listing", "tickers", "funding"]


class Window(NamedTuple):
    """How often one path may be asked."""

    requests: int
    seconds: float


class Endpoint(NamedTuple):
    """One path of a source's REST."""

    subject: Subject
    weight: int = 1
    """What a request costs of ``Limits.rest_weight``."""
    weight_of_one: int | None = None
    """The same for a request that names one symbol; None where that makes no difference."""
    also: Subject | None = None
    """What else the answer tells."""
    window: Window | None = None
    """Requests that are counted by themselves, and beside the weight."""

    def weight_for(self, query: Mapping[str, str]) -> int:
        """Return what one request costs."""
        if self.weight_of_one is not None and "symbol" in query:
            return self.weight_of_one
        return self.weight


class RestReply(NamedTuple):
    """One answer over REST."""

    status: int
    document: Any
    """What the body says, as JSON."""
    rows: list[dict[str, Any]] | None = None
    """The list inside the document; None where it holds none."""

    @property
    def body(self) -> bytes:
        """Write the document."""
        return orjson.dumps(self.document)


class RecordedQuote(NamedTuple):
    """What a recorded frame says."""

    exchange_symbol: str
    mid: float
    """In quoted units."""


class Moment(NamedTuple):
    """When and why a quote is sent."""

    sent_ms: int
    """The exchange's push time, Unix milliseconds."""
    is_repeat: bool = False
    """Nothing changed; the exchange sends it all the same."""
    is_delta: bool = False
    """Send the changed sides alone, where the exchange ever did so."""


class Intake:
    """What every session does first: count a frame and hold it against the limits."""

    def __init__(self, client: Client) -> None:
        self._ledger = client.ledger
        self._messages = SlidingCount(1.0)
        self._requests = SlidingCount(3600.0)

    def refusal(self, message: str | bytes, now_s: float) -> Close | None:
        """Count one incoming frame; return the end of the connection where it goes too far."""
        if flood := self._count(now_s):
            return flood
        size = len(message.encode() if isinstance(message, str) else message)
        if self._ledger.check("message_bytes", self._ledger.limits.message_bytes, size, now_s):
            return Close(1009, "message too big")
        return None

    def control_refusal(self, now_s: float) -> Close | None:
        """Count one incoming ping or pong where the exchange counts them."""
        return self._count(now_s) if self._ledger.limits.counts_control_frames else None

    def count_request(self, now_s: float) -> bool:
        """Count one subscribe or unsubscribe frame; return whether there were too many."""
        self._ledger.subscribes += 1
        found = self._requests.add(now_s)
        limit = self._ledger.limits.requests_per_hour
        return self._ledger.check("requests_per_hour", limit, found, now_s)

    def is_too_long(self, topics_in_request: int, now_s: float) -> bool:
        """Hold the topics of one request against the limit."""
        limit = self._ledger.limits.topics_per_request
        return self._ledger.check("topics_per_request", limit, topics_in_request, now_s)

    def has_too_many(self, topics: int, now_s: float) -> bool:
        """Hold a connection's number of topics against the limit."""
        self._ledger.most_topics = max(self._ledger.most_topics, topics)
        limit = self._ledger.limits.topics_per_connection
        return self._ledger.check("topics_per_connection", limit, topics, now_s)

    def has_too_many_bytes(self, topic_bytes: int, now_s: float) -> bool:
        """Hold the characters of a connection's topics against the limit."""
        limit = self._ledger.limits.topic_bytes_per_connection
        return self._ledger.check("topic_bytes_per_connection", limit, topic_bytes, now_s)

    def _count(self, now_s: float) -> Close | None:
        ledger, limits = self._ledger, self._ledger.limits
        ledger.messages += 1
        recent = self._messages.add(now_s)
        ledger.check("messages_per_s", limits.messages_per_s, recent, now_s)
        if limits.messages_fatal is not None and recent >= limits.messages_fatal:
            return Close(1008, "Too many requests")
        return None


class Session(Protocol):
    """One client's connection. The server calls in, the session answers with actions."""

    form: str
    """Which of the venue's frame forms this client reads; see Venue.encode."""
    last_push_s: float
    """Set by the server when data goes out."""
    intake: Intake
    """The server hands it the WebSocket's own pings and pongs."""

    def opened(self) -> list[Action]:
        """Greet a new client."""

    def received(self, message: str | bytes, now_s: float) -> list[Action]:
        """Answer one frame."""

    def tick(self, now_s: float) -> list[Action]:
        """Let time pass; called several times a second."""

    def ponged(self, now_s: float) -> None:
        """Note that the last ping was answered."""

    def farewell(self, now_ms: int) -> list[Action]:
        """Announce that this connection will be closed; empty where it is not announced."""


class Board(Protocol):
    """What one source shows at this moment: what its tickers are written from."""

    def quotes(self) -> Sequence[Quote]:
        """Return the present quote of every listing of the source, in order."""

    def index_prices(self) -> Sequence[float]:
        """Return their coins' prices over all sources, in quoted units."""


class Venue(Protocol):
    """One source of one exchange."""

    name: ClassVar[str]
    shares_symbols: ClassVar[bool]
    """Whether one socket serves the symbols of both markets."""
    shares_connects: ClassVar[bool]
    """Whether connections to both markets count in one window."""

    source: str
    market: Market
    listings: tuple[Listing, ...]
    limits: Limits
    resend_quiet_s: float | None
    """A row without news for this long is sent again; None where silence stays silence."""
    delisted: set[str]
    """Exchange symbols that REST no longer shows as tradable."""
    hourly: set[str]
    """Exchange symbols whose funding is settled every hour, whatever it was before."""
    endpoints: Mapping[str, Endpoint]
    """By path; every other path is an error and weighs 1."""

    def __init__(self, market: Market, coins: Sequence[Coin], added: Sequence[Naming] = ()) -> None:
        """List every coin on this market as the exchange calls it, then the added ones as told."""

    def rest(self, target: Target, now_ms: int, board: Board) -> RestReply:
        """Answer one GET."""

    def refusal(self, status: int) -> bytes:
        """Write the body of a REST answer with status 403, 418, 429 or 503."""

    def session(self, target: Target, client: Client) -> Session | None:
        """Begin a conversation; None where no socket is served at that path."""

    def encode(self, listing: Listing, quote: Quote, form: str, moment: Moment) -> Frame:
        """Write one quote as the exchange sends it to clients that read ``form``."""

    def read(self, frame: bytes) -> RecordedQuote | None:
        """Return what a recorded frame says; None when it is no two-sided quote of this source."""

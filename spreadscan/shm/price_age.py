"""When a source was last quoted, read word by word: for who has no time to wait for numpy."""

from spreadscan.shm.layout import MAX_SYMBOLS, PriceData, Prices
from spreadscan.shm.region import Region

__all__ = ["newest_received_ns"]


def newest_received_ns(prices: Region, source_id: int) -> int:
    """Return CLOCK_MONOTONIC of a source's newest quote, usable or not; 0 when there is none.

    A quote counts while the source is owned and only if its present owner wrote it.

    Concurrency: any number of readers; each word is read whole, so nothing torn is seen.
    """
    load = prices.mapping.load_word
    state = Prices.SOURCE_STATES + source_id * Prices.SOURCE_STATE_BYTES
    epoch = load(state + Prices.SOURCE_EPOCH)
    if epoch % 2 == 0:
        return 0
    newest = 0
    begin = Prices.DATA + source_id * MAX_SYMBOLS * Prices.DATA_ENTRY_BYTES
    end = begin + MAX_SYMBOLS * Prices.DATA_ENTRY_BYTES
    for entry in range(begin, end, Prices.DATA_ENTRY_BYTES):
        received_ns = load(entry + PriceData.RECEIVED_NS)
        if received_ns > newest and load(entry + PriceData.FLAGS) >> 16 & 0xFFFF == epoch & 0xFFFF:
            newest = received_ns
    return newest

# cython: language_level=3
"""Sizes and offsets of layout.h as the C compiler sees them, for comparison with shm/layout.py."""

from libc.stdint cimport uint64_t

from spreadscan.kernel.memory cimport (
    HEADER_BYTES, HEALTH_SLOTS, HISTOGRAM_BUCKETS, MAX_DIRECTIONS, MAX_SYMBOLS, NUM_COUNTERS,
    NUM_GATES, NUM_HISTOGRAMS, NUM_SOURCES, RING_CAPACITY, control_t, dirty_t, health_slot_t, price_data_t,
    price_seq_t, prices_t, ring_t, signal_t, source_state_t,
)
from spreadscan.kernel.records cimport (
    baseline_record_t, baseline_t, funding_record_t, funding_t, route_state_t, routes_t,
)

cdef extern from *:
    """
    #include <stddef.h>
    #define PRICES_SEQS offsetof(prices_t, seqs)
    #define PRICES_ENTRIES offsetof(prices_t, entries)
    #define PRICES_SOURCES offsetof(prices_t, sources)
    """
    size_t PRICES_SEQS, PRICES_ENTRIES, PRICES_SOURCES


def layout_table() -> dict[str, int]:
    """Return sizes and offsets as the C compiler sees them, by the names of shm/layout.py."""
    cdef signal_t s
    cdef price_data_t d
    cdef health_slot_t h
    cdef ring_t* r = NULL
    cdef dirty_t* b = NULL
    cdef source_state_t o
    cdef funding_t* funding = NULL
    cdef funding_record_t f
    cdef baseline_t* baseline = NULL
    cdef baseline_record_t e
    cdef routes_t* routes = NULL
    cdef route_state_t t
    cdef control_t* control = NULL
    return {
        "NUM_SOURCES": NUM_SOURCES,
        "MAX_SYMBOLS": MAX_SYMBOLS,
        "RING_CAPACITY": RING_CAPACITY,
        "HEALTH_SLOTS": HEALTH_SLOTS,
        "MAX_DIRECTIONS": MAX_DIRECTIONS,
        "NUM_COUNTERS": NUM_COUNTERS,
        "NUM_GATES": NUM_GATES,
        "NUM_HISTOGRAMS": NUM_HISTOGRAMS,
        "HISTOGRAM_BUCKETS": HISTOGRAM_BUCKETS,
        "HEADER_BYTES": HEADER_BYTES,
        "Prices.SOURCE_STATES": PRICES_SOURCES,
        "Prices.SOURCE_STATE_BYTES": sizeof(source_state_t),
        "Prices.SOURCE_EPOCH": <char*>&o.epoch - <char*>&o,
        "Prices.SOURCE_SILENT": <char*>&o.is_silent - <char*>&o,
        "Prices.SEQ": PRICES_SEQS,
        "Prices.SEQ_ENTRY_BYTES": sizeof(price_seq_t),
        "Prices.DATA": PRICES_ENTRIES,
        "Prices.DATA_ENTRY_BYTES": sizeof(price_data_t),
        "Prices.BYTES": sizeof(prices_t),
        "PriceData.BID": <char*>&d.bid - <char*>&d,
        "PriceData.ASK": <char*>&d.ask - <char*>&d,
        "PriceData.BID_QTY": <char*>&d.bid_qty - <char*>&d,
        "PriceData.ASK_QTY": <char*>&d.ask_qty - <char*>&d,
        "PriceData.EXCHANGE_NS": <char*>&d.exchange_ns - <char*>&d,
        "PriceData.RECEIVED_NS": <char*>&d.received_ns - <char*>&d,
        "PriceData.UPDATE_ID": <char*>&d.update_id - <char*>&d,
        "PriceData.FLAGS": <char*>&d.flags - <char*>&d,
        "PriceData.EPOCH": <char*>&d.epoch - <char*>&d,
        "PriceData.PUBLISH_DELAY_NS": <char*>&d.publish_delay_ns - <char*>&d,
        "Dirty.ENGINE_LINE": <size_t>&b.engine_sleeping,
        "Dirty.BLOCKS": <size_t>&b.words[0][0],
        "Dirty.BYTES": sizeof(dirty_t),
        "Ring.PRODUCER_LINE": <size_t>&r.tail,
        "Ring.FULL_COUNT": <size_t>&r.full_count - <size_t>&r.tail,
        "Ring.CONSUMER_LINE": <size_t>&r.head,
        "Ring.RECORDS": <size_t>&r.records[0],
        "Ring.RECORD_BYTES": sizeof(signal_t),
        "Ring.BYTES": sizeof(ring_t),
        "Signal.SEQUENCE": <char*>&s.sequence - <char*>&s,
        "Signal.TIME_NS": <char*>&s.time_ns - <char*>&s,
        "Signal.TYPE": <char*>&s.type - <char*>&s,
        "Signal.VERSION": <char*>&s.version - <char*>&s,
        "Signal.LENGTH": <char*>&s.length - <char*>&s,
        "Signal.DIRECTION": <char*>&s.direction - <char*>&s,
        "Signal.SPOT_SOURCE": <char*>&s.spot_source - <char*>&s,
        "Signal.FUTURES_SOURCE": <char*>&s.futures_source - <char*>&s,
        "Signal.SYMBOL_ID": <char*>&s.symbol_id - <char*>&s,
        "Signal.SPOT_EPOCH": <char*>&s.spot_epoch - <char*>&s,
        "Signal.SPOT_BID": <char*>&s.spot_bid - <char*>&s,
        "Signal.SPOT_ASK": <char*>&s.spot_ask - <char*>&s,
        "Signal.FUTURES_BID": <char*>&s.futures_bid - <char*>&s,
        "Signal.FUTURES_ASK": <char*>&s.futures_ask - <char*>&s,
        "Signal.SPOT_BID_QTY": <char*>&s.spot_bid_qty - <char*>&s,
        "Signal.SPOT_ASK_QTY": <char*>&s.spot_ask_qty - <char*>&s,
        "Signal.FUTURES_BID_QTY": <char*>&s.futures_bid_qty - <char*>&s,
        "Signal.FUTURES_ASK_QTY": <char*>&s.futures_ask_qty - <char*>&s,
        "Signal.GROSS_BPS": <char*>&s.gross_bps - <char*>&s,
        "Signal.NET_BPS": <char*>&s.net_bps - <char*>&s,
        "Signal.EXECUTABLE_USD": <char*>&s.executable_usd - <char*>&s,
        "Signal.SPOT_AGE_US": <char*>&s.spot_age_us - <char*>&s,
        "Signal.FUTURES_AGE_US": <char*>&s.futures_age_us - <char*>&s,
        "Signal.FUTURES_EPOCH": <char*>&s.futures_epoch - <char*>&s,
        "Signal.OPENING": <char*>&s.opening - <char*>&s,
        "Signal.EXIT_BPS": <char*>&s.exit_bps - <char*>&s,
        "Signal.NET_AFTER_FUNDING_BPS": <char*>&s.net_after_funding_bps - <char*>&s,
        "Signal.Z_SCORE": <char*>&s.z_score - <char*>&s,
        "Health.PID": <char*>&h.pid - <char*>&h,
        "Health.STATE": <char*>&h.state - <char*>&h,
        "Health.START_TICKS": <char*>&h.start_ticks - <char*>&h,
        "Health.HEARTBEAT_NS": <char*>&h.heartbeat_ns - <char*>&h,
        "Health.STARTED_NS": <char*>&h.started_ns - <char*>&h,
        "Health.OBEYED_GENERATION": <char*>&h.obeyed_generation - <char*>&h,
        "Health.RESTARTS": <char*>&h.restarts - <char*>&h,
        "Health.UNIVERSE_GENERATION": <char*>&h.universe_generation - <char*>&h,
        "Health.NAME": <char*>&h.name[0] - <char*>&h,
        "Health.STATUS": <char*>&h.status[0] - <char*>&h,
        "Health.COUNTERS": <char*>&h.counters[0] - <char*>&h,
        "Health.HISTOGRAMS": <char*>&h.histograms[0][0] - <char*>&h,
        "Health.SLOT_BYTES": sizeof(health_slot_t),
        "Control.GENERATION": <size_t>&control.generation,
        "Control.SHUTDOWN": <size_t>&control.shutdown_waves,
        "Control.KILL": <size_t>&control.is_killed,
        "Control.PAUSE_ALL": <size_t>&control.is_paused,
        "Control.PAUSED_SOURCES": <size_t>&control.paused_sources,
        "Control.PAUSED_DIRECTIONS": <size_t>&control.paused_directions,
        "Control.CONFIG_GENERATION": <size_t>&control.config_generation,
        "Control.KILLS": <size_t>&control.kills,
        "Control.PAUSED_SYMBOLS": <size_t>&control.paused_symbols[0],
        "Control.REASON": <size_t>&control.reason[0],
        "Control.REASON_BYTES": sizeof(control.reason),
        "Control.BYTES": sizeof(control_t),
        "Funding.RECORDS": <size_t>&funding.records[0],
        "Funding.SEQ": <char*>&f.sequence - <char*>&f,
        "Funding.RATE": <char*>&f.rate - <char*>&f,
        "Funding.INTERVAL_S": <char*>&f.interval_s - <char*>&f,
        "Funding.NEXT_SETTLEMENT_MS": <char*>&f.next_settlement_ms - <char*>&f,
        "Funding.RECEIVED_NS": <char*>&f.received_ns - <char*>&f,
        "Funding.RECORD_BYTES": sizeof(funding_record_t),
        "Funding.BYTES": sizeof(funding_t),
        "Baseline.RECORDS": <size_t>&baseline.records[0],
        "Baseline.SEQ": <char*>&e.sequence - <char*>&e,
        "Baseline.MEDIAN_BPS": <char*>&e.median_bps - <char*>&e,
        "Baseline.MAD_BPS": <char*>&e.mad_bps - <char*>&e,
        "Baseline.SAMPLES": <char*>&e.samples - <char*>&e,
        "Baseline.UPDATED_NS": <char*>&e.updated_ns - <char*>&e,
        "Baseline.RECORD_BYTES": sizeof(baseline_record_t),
        "Baseline.BYTES": sizeof(baseline_t),
        "Routes.GATES": <size_t>&routes.suppressed[0][0],
        "Routes.GATE_ROW_BYTES": sizeof(uint64_t) * NUM_GATES,
        "Routes.SUSPECTS": <size_t>&routes.suspects[0][0],
        "Routes.KILLS_FOLLOWED": <size_t>&routes.kills_followed,
        "Routes.NAMES": <size_t>&routes.names[0],
        "Routes.STATES": <size_t>&routes.states[0],
        "Routes.STATE_BYTES": sizeof(route_state_t),
        "Routes.BYTES": sizeof(routes_t),
        "RouteState.SEQ": <char*>&t.sequence - <char*>&t,
        "RouteState.TIME_NS": <char*>&t.time_ns - <char*>&t,
        "RouteState.OPENING": <char*>&t.opening - <char*>&t,
        "RouteState.TYPE": <char*>&t.type - <char*>&t,
        "RouteState.IS_OPEN": <char*>&t.is_open - <char*>&t,
        "RouteState.NET_BPS": <char*>&t.net_bps - <char*>&t,
    }

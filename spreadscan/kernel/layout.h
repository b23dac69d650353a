/* The layout of shared memory in C. shm/layout.py is the drawing; memory.pyx exports the sizes and
 * offsets of these structs and kernel/__init__.py compares both when it is imported. */
#ifndef SPREADSCAN_LAYOUT_H
#define SPREADSCAN_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#define NUM_SOURCES 8
#define MAX_SYMBOLS 1024
#define SLOT_COUNT (NUM_SOURCES * MAX_SYMBOLS)
#define MAX_DIRECTIONS 64
#define ROUTE_CAPACITY (MAX_DIRECTIONS * MAX_SYMBOLS)
#define WORDS_PER_SOURCE (MAX_SYMBOLS / 64)
#define RING_CAPACITY 65536
#define HEALTH_SLOTS 16
#define NUM_COUNTERS 64
#define NUM_GATES 16
#define NUM_HISTOGRAMS 8
#define HISTOGRAM_BUCKETS 640
#define HEADER_BYTES 128

typedef struct {
    uint64_t epoch;
    uint64_t is_silent;
    uint8_t pad[112];
} source_state_t;

typedef struct {
    uint64_t sequence;
    uint8_t pad[56];
} price_seq_t;

typedef struct {
    double bid, ask, bid_qty, ask_qty;
    int64_t exchange_ns, received_ns, update_id;
    uint16_t flags, epoch;
    uint32_t publish_delay_ns;
} price_data_t;

typedef struct {
    uint8_t header[HEADER_BYTES];
    source_state_t sources[NUM_SOURCES];
    price_seq_t seqs[SLOT_COUNT];
    price_data_t entries[SLOT_COUNT];
} prices_t;

typedef struct {
    uint8_t header[HEADER_BYTES];
    uint32_t engine_sleeping;
    uint8_t pad[124];
    uint64_t words[NUM_SOURCES][WORDS_PER_SOURCE];
} dirty_t;

typedef struct {
    uint64_t sequence;
    int64_t time_ns;
    uint16_t type, version;
    uint32_t length;
    uint8_t direction, spot_source, futures_source, reserved;
    uint16_t symbol_id, spot_epoch;
    double spot_bid, spot_ask, futures_bid, futures_ask;
    float spot_bid_qty, spot_ask_qty, futures_bid_qty, futures_ask_qty;
    double gross_bps, net_bps;
    float executable_usd, exit_bps;
    uint32_t spot_age_us, futures_age_us;
    uint16_t futures_epoch, pad;
    uint32_t opening;
    float net_after_funding_bps, z_score;
} signal_t;

typedef struct {
    uint8_t header[HEADER_BYTES];
    uint64_t tail, full_count;
    uint8_t pad1[112];
    uint64_t head;
    uint8_t pad2[120];
    signal_t records[RING_CAPACITY];
} ring_t;

typedef struct {
    uint8_t header[HEADER_BYTES];
    uint64_t generation, shutdown_waves, is_killed, is_paused;
    uint64_t paused_sources, paused_directions, config_generation, kills;
    uint8_t pad[64];
    uint64_t paused_symbols[WORDS_PER_SOURCE];
    char reason[128];
} control_t;

typedef struct {
    uint32_t pid, state;
    uint64_t start_ticks, heartbeat_ns, started_ns, obeyed_generation, restarts;
    uint64_t universe_generation, reserved;
    char name[32];
    uint8_t pad[32];
    char status[128];
    uint64_t counters[NUM_COUNTERS];
    uint64_t histograms[NUM_HISTOGRAMS][HISTOGRAM_BUCKETS];
} health_slot_t;

/* Records that guard themselves: the sequence word is their first. */

typedef struct {
    uint64_t sequence;
    double rate, interval_s;
    int64_t next_settlement_ms, received_ns;
    uint8_t pad[24];
} funding_record_t;

typedef struct {
    uint8_t header[HEADER_BYTES];
    funding_record_t records[SLOT_COUNT];
} funding_t;

typedef struct {
    uint64_t sequence;
    float median_bps, mad_bps;
    uint32_t samples, reserved;
    int64_t updated_ns;
} baseline_record_t;

typedef struct {
    uint8_t header[HEADER_BYTES];
    baseline_record_t records[ROUTE_CAPACITY];
} baseline_t;

typedef struct {
    uint64_t sequence;
    int64_t time_ns;
    uint32_t opening;
    uint16_t type, is_open;
    double net_bps;
} route_state_t;

typedef struct {
    uint8_t header[HEADER_BYTES];
    uint64_t suppressed[MAX_DIRECTIONS][NUM_GATES];
    uint64_t suspects[NUM_SOURCES][WORDS_PER_SOURCE];
    uint64_t kills_followed;
    uint8_t pad[120];
    uint64_t names[MAX_SYMBOLS];
    route_state_t states[ROUTE_CAPACITY];
} routes_t;

_Static_assert(sizeof(source_state_t) == 128, "two cache lines a source");
_Static_assert(sizeof(price_seq_t) == 64, "one cache line a sequence word");
_Static_assert(sizeof(price_data_t) == 64, "one cache line a price");
_Static_assert(sizeof(signal_t) == 128, "two cache lines a signal");
_Static_assert(offsetof(prices_t, seqs) % 64 == 0, "sequence words aligned");
_Static_assert(offsetof(prices_t, entries) % 64 == 0, "prices aligned");
_Static_assert(offsetof(dirty_t, words) % 128 == 0, "bitmap aligned");
_Static_assert(offsetof(ring_t, records) % 128 == 0, "ring records aligned");
_Static_assert(sizeof(funding_record_t) == 64, "one cache line a funding record");
_Static_assert(sizeof(baseline_record_t) == 32, "two baselines a cache line");
_Static_assert(sizeof(route_state_t) == 32, "two route states a cache line");
_Static_assert(offsetof(routes_t, states) % 64 == 0, "route states aligned");
_Static_assert(sizeof(control_t) == 512, "the control block");
_Static_assert(sizeof(health_slot_t) % 128 == 0, "health slots aligned");

#endif

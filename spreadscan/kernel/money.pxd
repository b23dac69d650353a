# What a spread is worth beside its fees: funding, and how unusual it is. The formulas are those of
# engine/spread.py, in the same order.

from libc.math cimport NAN, floor
from libc.stdint cimport int64_t

from spreadscan.kernel.limits cimport limits_t
from spreadscan.kernel.records cimport (
    baseline_record_t, baseline_t, funding_record_t, funding_t, record_read,
)


cdef enum:
    FUNDING_WORDS = 5
    BASELINE_WORDS = 4

cdef extern from *:
    """
    #define MAD_TO_SIGMA 1.4826
    """
    const double MAD_TO_SIGMA


cdef inline double settlements_within(
    double now_ms, double holding_ms, double next_ms, double interval_ms
) noexcept nogil:
    return max(
        floor((now_ms + holding_ms - next_ms) / interval_ms)
        - max(floor((now_ms - next_ms) / interval_ms), -1.0),
        0.0,
    )


cdef inline double net_after_funding(
    const funding_t* funding, int slot, double net_bps, const limits_t* limits, int64_t now,
    int64_t wall_offset_ns,
) noexcept nogil:
    # NaN when the perpetual's funding is not known, or was known too long ago.
    cdef funding_record_t found
    cdef double settlements
    if not record_read(&funding.records[slot], &found, FUNDING_WORDS):
        return NAN
    if found.received_ns <= 0 or now - found.received_ns > limits.max_funding_age_ns:
        return NAN
    if not found.interval_s > 0 or found.next_settlement_ms <= 0:
        return NAN
    settlements = settlements_within(
        <double>(now + wall_offset_ns) / 1e6, limits.holding_ms,
        <double>found.next_settlement_ms, found.interval_s * 1000.0,
    )
    return net_bps + settlements * found.rate * 10_000.0


cdef inline double z_score(
    const baseline_t* baseline, int route_index, double gross_bps, const limits_t* limits,
    int64_t now,
) noexcept nogil:
    # NaN when the route has no baseline, one without any spread around its median, or one that
    # nobody keeps any more.
    cdef baseline_record_t found
    if not record_read(&baseline.records[route_index], &found, BASELINE_WORDS):
        return NAN
    if found.samples == 0 or not found.mad_bps > 0:
        return NAN
    if now - found.updated_ns > limits.max_baseline_age_ns:
        return NAN
    return (gross_bps - found.median_bps) / (MAD_TO_SIGMA * found.mad_bps)

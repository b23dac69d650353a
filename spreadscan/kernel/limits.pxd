# What the operator asks of a signal, as the pass compares it; see EngineConfig for every key.

from libc.stdint cimport int64_t, uint32_t


cdef struct limits_t:
    double open_net_bps
    double rearm_net_bps
    double update_step_bps
    double min_executable_usd
    double max_spread_bps
    int64_t max_leg_age_ns
    # confirmation; 0 = not asked for
    uint32_t confirm_updates
    int64_t confirm_ns
    # legs that stand still; a share of the price, 0 = not looked at
    double frozen_move
    int64_t frozen_after_ns
    # funding
    double holding_ms
    int64_t max_funding_age_ns
    # what is usual
    int64_t max_baseline_age_ns

# Numbers of the pass that others know by name: counters, histograms and kinds of shm/counters.py and
# model.py; scan.pyx compares them when it is imported.

cdef enum:
    KIND_NONE = 0
    KIND_OPEN = 1
    KIND_UPDATE = 2
    KIND_CLOSE = 3
    COUNT_PASSES = 0
    COUNT_DIRTY_SYMBOLS = 1
    COUNT_ROUTES_EVALUATED = 2
    COUNT_SIGNALS_OPEN = 3
    COUNT_SIGNALS_UPDATE = 4
    COUNT_SIGNALS_CLOSE = 5
    COUNT_RING_FULL = 6
    COUNT_CONFLATED = 7
    COUNT_SPILLED = 8
    COUNT_SLEEPS = 9
    COUNT_TORN_READS = 10
    COUNT_RESUMED = 11
    COUNT_SUPPRESSED = 16
    TIME_RECEIVE_TO_SCAN = 0
    TIME_SCAN_PASS = 1
    TIME_STORE_TO_SCAN = 2
    TIME_SCAN_TO_RING = 3
    SIGNAL_VERSION = 2
    PAYLOAD_BYTES = 104

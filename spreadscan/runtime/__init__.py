"""The life every process shares: locks, clocks, logs, systemd, the run loop."""

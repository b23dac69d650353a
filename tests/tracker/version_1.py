"""A ledger as the first released build wrote it: one file, a row for each point."""

import sqlite3

MOMENT = (
    "ns", "gross_bps", "net_bps", "usd", "spot_bid", "spot_ask", "spot_bid_qty", "spot_ask_qty",
    "futures_bid", "futures_ask", "futures_bid_qty", "futures_ask_qty",
)  # fmt: skip


def _moment_columns(prefix):
    return ", ".join(
        f"{prefix}_{name} {'INTEGER' if name == 'ns' else 'REAL'} NOT NULL" for name in MOMENT
    )


def write_version_1(file, boot_id, opened_ns, opened_wall_ns, *, first_id=1, more_points=0):
    """Write one ended episode (BTC) with two points and one open one (ETH) with three."""
    with sqlite3.connect(file) as connection:
        connection.execute(
            "CREATE TABLE episodes (episode_id INTEGER PRIMARY KEY, direction TEXT NOT NULL,"
            " symbol TEXT NOT NULL, direction_id INTEGER NOT NULL, symbol_id INTEGER NOT NULL,"
            " spot_source INTEGER NOT NULL, futures_source INTEGER NOT NULL, boot_id TEXT NOT NULL,"
            " opened_wall_ns INTEGER NOT NULL, opened_ns INTEGER NOT NULL, ending TEXT,"
            " ended_ns INTEGER, ended_wall_ns INTEGER, re_signals INTEGER NOT NULL,"
            " snapshots INTEGER NOT NULL, snapshots_unusable INTEGER NOT NULL,"
            " first_snapshot_id INTEGER NOT NULL, last_snapshot_id INTEGER,"
            f" {_moment_columns('first')}, {_moment_columns('peak')}, {_moment_columns('last')},"
            " CHECK ((ending IS NULL) = (ended_ns IS NULL)),"
            " CHECK ((ending IS NULL) = (ended_wall_ns IS NULL)),"
            " CHECK (ended_ns IS NULL OR ended_ns >= opened_ns)) STRICT"
        )
        connection.execute(
            "CREATE UNIQUE INDEX episodes_open ON episodes (direction, symbol) WHERE ending IS NULL"
        )
        connection.execute("CREATE INDEX episodes_opened ON episodes (opened_wall_ns)")
        connection.execute(
            "CREATE INDEX episodes_ended ON episodes (ended_wall_ns, ending)"
            " WHERE ending IS NOT NULL"
        )
        connection.execute(
            "CREATE TABLE snapshots (snapshot_id INTEGER PRIMARY KEY, episode_id INTEGER NOT NULL,"
            " t_ms INTEGER NOT NULL, gross_bps REAL NOT NULL, net_bps REAL NOT NULL,"
            " usd REAL NOT NULL) STRICT"
        )
        connection.execute(
            "CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID"
        )

        def moment(after_ns, net_bps):
            prices = (100.0, 101.0, 1.0, 2.0, 103.0, 104.0, 3.0, 4.0)
            return (opened_ns + after_ns, net_bps + 30.0, net_bps, 500.0, *prices)

        for place, symbol, ended_ns in ((0, "BTC-USDT", opened_ns + 9), (1, "ETH-USDT", None)):
            ended_wall_ns = None if ended_ns is None else opened_wall_ns + 9
            row = (
                first_id + place, "okx_spot_binance_futures", symbol, 0, 7 + place, 4, 1, boot_id,
                opened_wall_ns, opened_ns, None if ended_ns is None else "converged", ended_ns,
                ended_wall_ns, 0, 2, 1, 1, None if ended_ns is None else 2,
                *moment(0, 20.0), *moment(5, 31.0), *moment(400_000_000, 25.0),
            )  # fmt: skip
            connection.execute(f"INSERT INTO episodes VALUES ({', '.join('?' * len(row))})", row)
        points = [(0, 0), (0, 200), (1, 200), (1, 400), (1, 600)]
        points += [(1, 800 + 200 * number) for number in range(more_points)]
        connection.executemany(
            "INSERT INTO snapshots (episode_id, t_ms, gross_bps, net_bps, usd)"
            " VALUES (?, ?, 55.0, 25.0, 500.0)",
            [(first_id + place, t_ms) for place, t_ms in points],
        )
        connection.executemany(
            "INSERT INTO meta VALUES (?, ?)", [("ring_created_ns", 5), ("ring_sequence", 17)]
        )
        connection.execute("PRAGMA user_version = 1")

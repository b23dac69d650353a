"""A ban is obeyed by real programs also when shared memory, or the boot, is another one."""

import http.server
import json
import threading

import pytest
from program_cases import Programs, until, write_small_universe

from spreadscan.manners.kept_bans import bans_folder
from spreadscan.shm.regions import remove_regions

FEED = "feed-okx-spot"
BAN_S = 300
BEATS = 10


class Banning(http.server.BaseHTTPRequestHandler):
    """Tells everybody to stay away."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.asked.append(self.path)
        self.send_response(418)
        self.send_header("Retry-After", str(BAN_S))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def programs(make_config):
    programs = Programs(make_config({}), is_sim=True)
    write_small_universe(programs.config)
    yield programs
    programs.close()


@pytest.fixture
def exchange(programs):
    port = int(programs.config.sim.ws_base.rpartition(":")[2])
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Banning)
    server.asked = []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def reboot(folder):
    """Make what is kept that of an earlier boot, whose monotonic clock tells nothing."""
    for file in folder.iterdir():
        kept = json.loads(file.read_text())
        file.write_text(json.dumps(kept | {"boot_id": "an earlier one", "until_ns": 1}))


@pytest.mark.parametrize("is_rebooted", [False, True])
def test_feed_that_was_banned_stays_away_after_shared_memory_was_made_anew(
    programs, exchange, is_rebooted
):
    folder = bans_folder(programs.config)
    assert programs.start("shm-init").wait(20) == 0
    feed = programs.start(FEED)
    until(lambda: folder.is_dir() and not list(folder.glob(".*")) and list(folder.iterdir()))
    feed.kill()
    feed.wait()
    remove_regions(programs.config.shm)
    if is_rebooted:
        reboot(folder)
    asked = len(exchange.asked)

    assert programs.start("shm-init").wait(20) == 0
    programs.start(FEED)

    beats = set()
    until(lambda: beats.add(programs.slot(FEED).heartbeat_ns) or len(beats) > BEATS)
    assert len(exchange.asked) == asked == 1

"""``spread-ctl``: operations on a running pipeline. A command is a file beside this, and a row."""

import sys

from spreadscan.cli.group import command_group, run_group

__all__ = ["COMMANDS", "app", "main"]

COMMANDS = {
    "status": "spreadscan.cli.status:status",
    "top": "spreadscan.cli.top:top",
    "explain": "spreadscan.cli.explain:explain",
    "latency": "spreadscan.cli.latency:latency",
    "pause": "spreadscan.cli.pause:pause",
    "resume": "spreadscan.cli.pause:resume",
    "kill": "spreadscan.cli.pause:kill",
    "reload": "spreadscan.cli.reload:reload",
    "start": "spreadscan.cli.services:start",
    "stop": "spreadscan.cli.services:stop",
    "restart": "spreadscan.cli.services:restart",
    "shutdown": "spreadscan.cli.services:shutdown",
    "logs": "spreadscan.cli.services:logs",
    "doctor": "spreadscan.cli.doctor:doctor",
    "history": "spreadscan.cli.history:history",
    "episode": "spreadscan.cli.episode:episode",
    "statistics": "spreadscan.cli.statistics:statistics",
    "export": "spreadscan.cli.export:export",
    "discover": "spreadscan.cli.discover_command:discover",
    "config": "spreadscan.cli.config_command:app",
    "version": "spreadscan.cli.version:version",
    "completion": "spreadscan.cli.completion:completion",
}
"""Where each command is, in the order of --help; it is imported when it is called for."""

app = command_group("spread-ctl", "Operate a running pipeline.", COMMANDS)


def main() -> int:
    """Entry of the console script; return the exit status."""
    return run_group(app)


if __name__ == "__main__":
    sys.exit(main())

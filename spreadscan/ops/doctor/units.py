"""Whether the host's unit files are those of this version."""

from pathlib import Path

from spreadscan.config import Config
from spreadscan.errors import ConfigError
from spreadscan.ops.doctor.finding import Finding, ok, warn
from spreadscan.ops.unit_files import compare_units
from spreadscan.ops.units import TARGET, UnitPlace, rendered_units

__all__ = ["UNIT_FOLDER", "units_check"]

UNIT_FOLDER = Path("/etc/systemd/system")


def units_check(config: Config, folder: Path = UNIT_FOLDER) -> Finding:
    """Compare installed units with what this version renders for this configuration."""
    check = "unit files"
    if not (folder / TARGET).is_file():
        return ok(check, "not installed here")
    rendered = rendered_units(config, UnitPlace(config_file=config.file))
    try:
        found = compare_units(folder, rendered)
    except (ConfigError, OSError) as error:
        return warn(check, str(error), "remove what is in the way, then deploy again")
    if differing := [*found.added, *found.changed, *found.removed]:
        return warn(
            check,
            f"{len(differing)} are not those of this version (first: {differing[0]})",
            f"spreadscan units --output {folder}, then systemctl daemon-reload",
        )
    return ok(check, f"{len(rendered)} files as rendered")

"""Filters of the playbooks: CPU lists, and settings of the inventory laid over the product's files.

They run on the control host, before anything is sent anywhere, so a wrong word in an inventory
stops a play while every host is as it was.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

SECTION = re.compile(r"^\[([A-Za-z0-9_.-]+)\]\s*$")
KEY = re.compile(r"^([A-Za-z0-9_-]+)\s*=\s*(.*)$")


def cpu_list(text: object) -> list[int]:
    """Return the CPUs of a list in the kernel's format, ``0-3,8``; ascending.

    Raises:
        ValueError: it is no such list.
    """
    cpus: set[int] = set()
    for part in filter(None, (word.strip() for word in str(text).split(","))):
        first, dash, last = part.partition("-")
        if not (first.isdecimal() and (last.isdecimal() if dash else not last)):
            raise ValueError(f"CPU list: found {part!r}, expected a list like 0-3,8")
        low, high = int(first), int(last or first)
        if low > high:
            raise ValueError(f"CPU list: found {part!r}, expected the lower CPU first")
        cpus.update(range(low, high + 1))
    return sorted(cpus)


def cpu_mask(cpus: list[int]) -> str:
    """Return CPUs as the hexadecimal mask of ``/proc/irq``: groups of 32 bits, highest first."""
    bits = sum(1 << cpu for cpu in cpus)
    groups = []
    while bits or not groups:
        groups.append(f"{bits & 0xFFFFFFFF:08x}")
        bits >>= 32
    return ",".join(reversed(groups))


def with_settings(text: str, settings: Mapping[str, object], file: str) -> str:
    """Return a TOML file with other values; its order and comments stay.

    Args:
        text: of the file as the product ships it.
        settings: values by section and key, sections nested or dotted.
        file: for messages.

    Raises:
        ValueError: the file has no such section or key, or its value is spread over lines.
    """
    lines = text.splitlines()
    wanted = dict(_flattened(settings))
    places: dict[tuple[str, str], int] = {}
    sections, section = {""}, ""
    for number, line in enumerate(lines):
        if match := SECTION.match(line):
            section = match[1]
            sections.add(section)
        elif match := KEY.match(line):
            places[section, match[1]] = number
    for (section, key), value in wanted.items():
        where = f"{file}: [{section}] {key}"
        if section not in sections:
            known = ", ".join(sorted(sections - {""}))
            raise ValueError(f"{where}: found no such section, expected one of: {known}")
        if (section, key) not in places:
            known = ", ".join(sorted(name for of, name in places if of == section))
            raise ValueError(f"{where}: found no such key, expected one of: {known}")
        number = places[section, key]
        if lines[number].rstrip().endswith(("[", "{", '"""')):
            raise ValueError(f"{where}: found a value of several lines, expected one of a line")
        lines[number] = f"{key} = {_toml(value, where)}"
    return "\n".join(lines) + "\n"


def configuration(folder: str, settings: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """Return the configuration files of *folder* by name, with the values of *settings* in them.

    Raises:
        ValueError: there is no such file, section or key.
    """
    files = {file.stem: file for file in sorted(Path(folder).glob("*.toml"))}
    for name in settings:
        if name not in files:
            known = ", ".join(files) or "none"
            raise ValueError(f"{folder}: found settings of {name!r}, expected one of: {known}")
    return {
        name: with_settings(file.read_text(encoding="utf-8"), settings.get(name, {}), file.name)
        for name, file in files.items()
    }


def without_effect(wanted: Mapping[str, object], lines: list[str]) -> dict[str, str]:
    """Return which kernel settings are not as wanted, with what they are.

    Args:
        wanted: values by name.
        lines: what ``sysctl --ignore NAME…`` printed; a setting that is absent has no line.
    """
    found = {}
    for line in lines:
        name, _, value = line.partition(" =")
        found[name.strip()] = " ".join(value.split())
    return {
        name: found.get(name, "absent")
        for name, value in wanted.items()
        if found.get(name) != " ".join(str(value).split())
    }


def _flattened(settings: Mapping[str, object], prefix: str = "") -> list:
    found: list = []
    for name, value in settings.items():
        path = f"{prefix}.{name}" if prefix else str(name)
        if isinstance(value, Mapping):
            found += _flattened(value, path)
        else:
            found.append(((prefix, str(name)), value))
    return found


def _toml(value: object, where: str) -> str:
    # Ansible hands strings over as types of its own, and a template's number as a string.
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    if isinstance(value, str):
        return json.dumps(str(value), ensure_ascii=False)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(each, where) for each in value) + "]"
    raise ValueError(f"{where}: found {value!r}, expected a string, a number, a boolean or a list")


def role_arguments(roles: str) -> dict[str, dict]:
    """Return what the roles in a folder take, by variable, from their argument specifications."""
    import yaml  # noqa: PLC0415 - the other filters work without

    specs = [
        yaml.safe_load(file.read_text(encoding="utf-8"))
        for file in Path(roles).glob("*/meta/argument_specs.yml")
    ]
    return {
        name: options
        for spec in specs
        for name, options in spec["argument_specs"]["main"]["options"].items()
    }


class FilterModule:
    """What Ansible looks for."""

    def filters(self) -> dict:
        """Return the filters by name."""
        return {
            "configuration": configuration,
            "cpu_list": cpu_list,
            "cpu_mask": cpu_mask,
            "role_arguments": role_arguments,
            "without_effect": without_effect,
        }

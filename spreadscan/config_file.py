"""One TOML file to one typed tree, or one line that says what an operator has to change."""

import math
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import msgspec

from spreadscan.errors import ConfigError

__all__ = ["read_toml"]

# One step of a dotted key: an index or a name.
STEP = re.compile(r"\[(\d+)\]|([^.\[\]]+)")

FileT = TypeVar("FileT", bound=msgspec.Struct)


def read_toml(file: Path, shape: type[FileT]) -> FileT:
    """Read ``file`` as ``shape``, a struct that forbids unknown fields.

    Raises:
        ConfigError: unreadable, not UTF-8, no TOML, or a key that ``shape`` does not accept.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(str(file), "", error.strerror or str(error), "a readable file") from None
    except UnicodeDecodeError as error:
        raise ConfigError(str(file), "", f"byte {error.start} is not UTF-8", "UTF-8") from None
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(str(file), "", str(error), "TOML") from None
    for key, number in _floats(tree, ""):
        # TOML knows nan and inf; nan passes every bound, since it compares with nothing.
        if not math.isfinite(number):
            raise ConfigError(str(file), key, repr(number), "a finite number")
    try:
        return msgspec.convert(tree, shape)
    except msgspec.ValidationError as error:
        raise _explained(file, tree, shape, str(error)) from None


def _floats(value: Any, key: str) -> Iterator[tuple[str, float]]:
    """Every float of the tree with its dotted key."""
    if isinstance(value, float):
        yield key, value
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from _floats(child, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from _floats(child, f"{key}[{index}]")


def _explained(
    file: Path, tree: dict[str, Any], shape: type[msgspec.Struct], message: str
) -> ConfigError:
    """Turn msgspec's sentence into file, key, found, expected."""
    sentence, _, path = message.partition(" - at ")
    key = path.strip("`").removeprefix("$").removeprefix(".")
    if "[...]" in key:
        key = _named(tree, shape, message, key)
    unknown = re.search(r"unknown field `([^`]*)`", sentence)
    if unknown:
        dotted = f"{key}.{unknown[1]}" if key else unknown[1]
        return ConfigError(str(file), dotted, "an unknown key", "no such key (a typing mistake?)")
    missing = re.search(r"missing required field `([^`]*)`", sentence)
    if missing:
        dotted = f"{key}.{missing[1]}" if key else missing[1]
        return ConfigError(str(file), dotted, "nothing", "a value; the key is required")
    if sentence.startswith("Invalid enum value"):
        return ConfigError(str(file), key, _value_at(tree, key), _choices(shape, key))
    expected = sentence.removeprefix("Expected ").partition(", got")[0]
    return ConfigError(str(file), key, _value_at(tree, key), expected)


def _named(tree: dict[str, Any], shape: type[msgspec.Struct], message: str, key: str) -> str:
    """Name the key of a mapping that msgspec writes as ``[...]``: the one that fails alone."""
    above, _, below = key.partition("[...]")
    mapping = tree[above]
    for name, branch in mapping.items():
        try:
            msgspec.convert(tree | {above: {name: branch}}, shape)
        except msgspec.ValidationError as error:
            if str(error) == message:
                return f"{above}.{name}{below}"
    raise AssertionError(message)


def _choices(shape: type[msgspec.Struct], key: str) -> str:
    """List the words that a key accepts."""
    annotation: Any = shape
    for index, name in STEP.findall(key):
        annotation = get_args(annotation)[0] if index else get_type_hints(annotation)[name]
    words = [word for kind in (annotation, *get_args(annotation)) for word in _words(kind)]
    assert words, key
    return f"one of {words}"


def _words(annotation: Any) -> tuple[str, ...]:
    return get_args(annotation) if get_origin(annotation) is Literal else ()


def _value_at(tree: Any, key: str) -> str:
    value = tree
    for index, name in STEP.findall(key):
        value = value[int(index)] if index else value[name]
    return repr(value)

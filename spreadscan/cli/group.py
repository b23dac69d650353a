"""What the console scripts with commands share: errors of one line, and the exit status.

A SpreadscanError becomes one line on standard error and its own exit status, a wrong command line
one line and 64 (see ``errors``; ``--help`` of every command shows the table); with ``--json`` the
same stands as an object on standard output. A group may name where its commands are instead of
importing them: then each invocation imports its own command alone, which is most of what a quick
command costs.
"""

import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from spreadscan.cli.standard_output import OutputRefused, take_standard_output
from spreadscan.errors import EXIT_MEANINGS, EXIT_TEMPORARY, EXIT_USAGE, SpreadscanError

__all__ = ["EXIT_TABLE", "Command", "OneLineErrors", "command_group", "run_group"]

# Typer brings its own click or uses the installed one, by version; this is its usage error.
UsageError: Any = typer.BadParameter.__base__

# Of a paragraph typer makes one line.
EXIT_TABLE = "\n\n".join(
    ["Exit status:", *(f"{status:>3}  {meaning}" for status, meaning in EXIT_MEANINGS.items())]
)
"""The end of every --help."""


class Command(TyperCommand):
    """One command: what is asked for as JSON is answered as JSON, a refusal too."""

    def invoke(self, ctx: Any) -> Any:  # type: ignore[explicit-override] # typing has it from 3.12
        """Run it."""
        try:
            return super().invoke(ctx)
        except (SpreadscanError, UsageError) as error:
            if ctx.params.get("as_json") and not isinstance(error, OutputRefused):
                status = EXIT_USAGE if isinstance(error, UsageError) else error.exit_code
                typer.echo(json.dumps({"error": _words(error), "exit_status": status}))
            raise


class OneLineErrors(TyperGroup):
    """Says what an operator can mend in one line; a mistake of ours keeps its traceback."""

    places: ClassVar[Mapping[str, str]] = {}
    """``module:function`` of the commands that are imported when they are called for, by name."""

    def list_commands(self, ctx: Any) -> list[str]:  # type: ignore[explicit-override] # typing, 3.12
        """Return the names in the order in which --help shows them."""
        return [*super().list_commands(ctx), *self.places]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # type: ignore[explicit-override]
        """Return a command, imported now if need be; None when there is none of that name."""
        if cmd_name not in self.places:
            return super().get_command(ctx, cmd_name)
        module, _, name = self.places[cmd_name].partition(":")
        found = getattr(import_module(module), name)
        if isinstance(found, typer.Typer):
            return typer.main.get_command(found)
        return _with_arguments_explained(typer.main.get_command(_alone(cmd_name, found)), found)

    def invoke(self, ctx: Any) -> Any:  # type: ignore[explicit-override] # typing has it from 3.12
        """Run the command."""
        try:
            return super().invoke(ctx)
        except SpreadscanError as error:
            # A group within a group is found by the outermost name, which is the program's.
            typer.echo(f"{ctx.find_root().command.name or 'spreadscan'}: {error}", err=True)
            raise typer.Exit(error.exit_code) from None
        except UsageError as error:
            raise typer.Exit(_tell_usage(error)) from None
        except KeyboardInterrupt:
            # What was asked for may have been done or not: asking again is safe.
            name = ctx.find_root().command.name or "spreadscan"
            typer.echo(f"{name}: interrupted", err=True)
            raise typer.Exit(EXIT_TEMPORARY) from None


def command_group(name: str, summary: str, places: Mapping[str, str] | None = None) -> typer.Typer:
    """Return a console script, or a group of commands within one.

    Args:
        name: begins the lines of its errors.
        summary: first line of ``--help``.
        places: ``module:function`` of each command by its name; None for a group that is given its
            commands by ``app.command``. The function may also be a Typer, of a group within.
    """
    app = typer.Typer(
        name=name,
        cls=type("Commands", (OneLineErrors,), {"places": places or {}}),
        help=summary,
        epilog=EXIT_TABLE,
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    # With a callback it is a group also while it has one command only.
    app.callback()(_nothing)
    return app


def run_group(app: typer.Typer) -> int:
    """Run a console script; return the exit status."""
    if any(name.endswith("_COMPLETE") for name in os.environ):
        # Asked by a shell (`spread-ctl completion`); nobody else waits for this import.
        from typer.completion import completion_init  # type: ignore[attr-defined] # re-exported

        completion_init()
    take_standard_output()
    try:
        status = app(standalone_mode=False) or 0
        sys.stdout.flush()
    except UsageError as error:
        return _tell_usage(error)
    except OutputRefused as error:
        typer.echo(f"{app.info.name}: {error}", err=True)
        return error.exit_code
    return int(status)


def _tell_usage(error: Any) -> int:
    """Say in one line what is wrong with a command line; return its exit status."""
    words = _words(error)
    if "\n" in words:
        # No command at all was named, and what was found instead is the whole of --help.
        error.show()
    else:
        path = error.ctx.command_path if error.ctx is not None else "spreadscan"
        typer.echo(f"{path}: {words}; see {path} --help", err=True)
    return EXIT_USAGE


def _words(error: Any) -> str:
    if isinstance(error, UsageError):
        words = str(error.format_message()).removeprefix("Invalid value: ")
        return words[:1].lower() + words[1:].rstrip(".")
    return str(error)


def _alone(name: str, function: Callable[..., Any]) -> typer.Typer:
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    words = _flowing(function.__doc__ or "")
    app.command(name, cls=Command, help=words, epilog=EXIT_TABLE)(function)
    return app


def _flowing(docstring: str) -> str:
    """Return a text whose paragraphs fit any width; those marked as such keep their lines."""
    return "\n\n".join(
        paragraph if paragraph.startswith("\b") else " ".join(paragraph.split())
        for paragraph in inspect.cleandoc(docstring).split("\n\n")
    )


def _with_arguments_explained(command: Any, function: Callable[..., Any]) -> Any:
    """Return a command whose --help says what its arguments are: click 8.5 drops typer's words."""
    for parameter in command.params:
        annotation = function.__annotations__.get(parameter.name)
        for info in getattr(annotation, "__metadata__", ()):
            if info.help and not parameter.help:
                parameter.help = info.help
    return command


def _nothing() -> None:
    pass

"""`--include` and `--exclude`: patterns of which the last one that fits counts."""

from __future__ import annotations

import fnmatch
import functools
from collections.abc import Sequence
from dataclasses import dataclass

import click

from s3envelope.cli.options import Command

_META = "s3envelope.filters"
_NAMES = ("include", "exclude")


@dataclass(frozen=True, slots=True)
class Filters:
    """What is meant of a folder: everything, but for what the last pattern that fits excludes, as in the AWS CLI.

    Args:
        patterns: Whether to include, and a pattern of the shell: `*` fits slashes too.
        are_strict: Whether a first pattern that includes leaves out everything else. Elsewhere `--include` alone
            changes nothing, and `rm --include '*.tmp'` would delete what is no *.tmp.
    """

    patterns: tuple[tuple[bool, str], ...] = ()
    are_strict: bool = False

    def admit(self, name: str) -> bool:
        """Tell whether a name below the root is meant."""
        is_first_in = bool(self.patterns) and self.patterns[0][0]
        otherwise = not (self.are_strict and is_first_in)
        fitting = (is_in for is_in, pattern in reversed(self.patterns) if fnmatch.fnmatchcase(name, pattern))
        return next(fitting, otherwise)


class FilteringCommand(click.Command):
    """A command that remembers in which order its two repeatable options were given; click does not."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Note the order, and parse."""
        if not ctx.resilient_parsing:
            _, _, order = self.make_parser(ctx).parse_args(args=list(args))
            ctx.meta[_META] = [parameter.name for parameter in order if parameter.name in _NAMES]
        return super().parse_args(ctx, args)


def filter_options(command: Command) -> Command:
    """Add `--include` and `--exclude` to a `FilteringCommand`, which gets them as `filters`."""

    @click.option("--include", metavar="GLOB", multiple=True, help="Include what --exclude left out; repeatable.")
    @click.option(
        "--exclude",
        metavar="GLOB",
        multiple=True,
        help="Leave out what fits, by its path below the folder; repeatable. The last pattern that fits counts.",
    )
    @functools.wraps(command)
    def with_filters(*arguments: object, include: Sequence[str], exclude: Sequence[str], **rest: object) -> int | None:
        given = {"include": iter(include), "exclude": iter(exclude)}
        order: list[str] = click.get_current_context().meta.get(_META, [])
        patterns = tuple((name == "include", next(given[name])) for name in order)
        return command(*arguments, filters=Filters(patterns), **rest)

    return with_filters

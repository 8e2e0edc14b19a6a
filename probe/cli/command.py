"""What every command has: --quiet, examples at the end of --help, and one line after Ctrl-C."""

import functools
import inspect
from collections.abc import Callable
from typing import Annotated, Any

import typer

from ...features import progress
from .examples import EXAMPLES, RESUMED
from .terminal import say

Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="No progress: results, warnings and errors alone.", show_default=False)
]


def command(name: str, function: Callable[..., None]) -> Callable[..., None]:
    """A function, annotated as typer wants it, as a command: with --quiet, and told what is kept when it is stopped."""

    @functools.wraps(function)
    def run(quiet: bool = False, **given: Any) -> None:
        progress.silence(quiet)
        try:
            function(**given)
        except KeyboardInterrupt:
            say(f"birdprobe: {stopped(name, given.get('output'))}")
            raise typer.Exit(130) from None

    signature = inspect.signature(function)
    quiet = inspect.Parameter("quiet", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Quiet)
    run.__signature__ = signature.replace(parameters=[*signature.parameters.values(), quiet])  # type: ignore[attr-defined]
    run.__annotations__ = function.__annotations__ | {"quiet": Quiet}
    return run


def stopped(name: str, output: Any) -> str:
    """What is left of a command that was stopped while it wrote `output`, and how to go on, in one line."""
    if name in RESUMED:
        return f"stopped. {RESUMED[name]} kept; the same command goes on from there."
    if output is None:
        return "stopped. Nothing was being written."
    return f"stopped. {output} is as it was before; the same command begins again."


def examples(name: str) -> str | None:
    """The end of a command's --help."""
    lines = EXAMPLES.get(name)
    return "\n\n".join(("Examples:", *(f"birdprobe {name} {line}" for line in lines))) if lines else None

"""A command is its public function: the same arguments, the same defaults."""

from dataclasses import fields
from importlib import import_module
from inspect import Parameter, signature

import pytest

import birdprobe as bp
from birdprobe.probe.cli.app import COMMANDS
from birdprobe.probe.sweep.settings import Settings

FUNCTIONS = {
    "extract": (bp.extract,),
    "train": (bp.train,),
    "fuse": (bp.fuse,),
    "finetune": (bp.fine_tune,),
    "export": (bp.export,),
    "predict": (bp.predict, bp.open_predictor),  # hands on to it what it does not use itself
    "events": (bp.find_events,),
    "kernel": (bp.write_kernel,),
    "blend": (bp.blend,),
    "experiment": (bp.run_experiment,),
}
PROGRAM = {"command", "log", "progress", "started"}  # what a program gives and nobody types
OPENED = {"path", "threads"}  # `predict` has a name of its own for the one, and threads over files
PARSED = {"fractions", "inputs", "tta", "tta_shifts"}  # texts of the command, tuples of the function


def arguments(name: str) -> dict[str, Parameter]:
    """Of a command's functions, less those that a program gives."""
    found = {name: one for function in FUNCTIONS[name] for name, one in signature(function).parameters.items()}
    kept = {key: one for key, one in found.items() if one.kind is not Parameter.VAR_KEYWORD and key not in PROGRAM}
    return {key: one for key, one in kept.items() if len(FUNCTIONS[name]) == 1 or key not in OPENED}


def options(name: str) -> dict[str, Parameter]:
    return dict(signature(getattr(import_module(f"birdprobe.{COMMANDS[name]}"), name)).parameters)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_command_has_the_arguments_of_its_function(name):
    assert set(options(name)) == set(arguments(name))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_command_has_the_defaults_of_its_function(name):
    known = arguments(name)
    for key, option in options(name).items():
        if key in PARSED:
            continue
        wanted = known[key].default
        assert getattr(option.default, "value", option.default) == wanted, key


@pytest.mark.parametrize("name", FUNCTIONS)
def test_its_docstring_names_every_argument(name):
    text = " ".join(function.__doc__ for function in FUNCTIONS[name])
    assert "Args:" in text and "Raises:" in text
    assert not [key for key in arguments(name) if key not in text]


def test_the_command_sweep_has_the_settings_of_a_sweep_and_their_defaults():
    typed, settings = options("sweep"), {field.name: field.default for field in fields(Settings)}
    assert set(typed) == {"model", "audio", "output", "test", "overwrite", "as_json", *settings}
    for name in set(settings) - PARSED:
        assert getattr(typed[name].default, "value", typed[name].default) == settings[name], name

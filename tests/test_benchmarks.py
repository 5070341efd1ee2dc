"""Benchmarks run rarely; here is found at once what a change of the packages breaks in them."""

import ast
import importlib
import sys
from importlib.util import find_spec

import pytest
from paths import REPOSITORY

PACKAGES = ("glr_keras", "tfrecords", "tuning")
HELPERS = ("measuring", "mistaken_features", "mistaken_models", "settings", "show")
FILES = sorted((REPOSITORY / "benchmarks").glob("*.py"))
SCRIPTS = [path for path in FILES if path.stem not in HELPERS]


def functions_called(tree, name):
    """Returns the functions of `tree` whose bodies call `name`."""
    return {
        function.name
        for function in tree.body
        if isinstance(function, ast.FunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == name
    }


def is_there(module_name, name):
    """Whether a module has `name`, or is a package with a module of that name."""
    module = importlib.import_module(module_name)
    is_package = hasattr(module, "__path__")
    return hasattr(module, name) or bool(is_package and find_spec(f"{module_name}.{name}"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_a_benchmark_imports_is_there(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in PACKAGES:
            assert [one.name for one in node.names if not is_there(node.module, one.name)] == []


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_benchmark_prints_what_it_ran_on(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert functions_called(tree, "print_context") == {"main"}


def test_the_context_names_command_commit_and_machine(monkeypatch, capsys):
    monkeypatch.syspath_prepend(REPOSITORY / "benchmarks")
    monkeypatch.setattr(sys, "argv", ["benchmarks/epochs.py", "--photos", "my photos"])
    importlib.import_module("show").print_context()
    command, commit, machine, versions = capsys.readouterr().out.splitlines()[:4]
    assert command == "command  python benchmarks/epochs.py --photos 'my photos'"
    assert commit.startswith("commit   ")
    assert " cores, " in machine
    assert "tensorflow 2." in versions

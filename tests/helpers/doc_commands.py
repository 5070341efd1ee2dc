"""The commands that README.md and docs/ show, and the parsers that have to understand them."""

import argparse
import re
import runpy
import shlex
import sys
import warnings

from paths import REPOSITORY

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
PROGRAMS = ("python -m ", "python benchmarks/")
CODE_SPAN = re.compile(r"`([^`\n]+)`")
PYTHON_BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class _FoundError(Exception):
    """Carries a command's parser out of the command."""


def code_lines(text: str) -> list[str]:
    """Returns the lines of a page's indented blocks, with continued lines joined."""
    joined = text.replace("\\\n", " ")
    return [line.strip() for line in joined.splitlines() if line.startswith("    ")]


def commands(text: str) -> list[list[str]]:
    """Returns the words of each command of ours in a page's blocks and code spans, in order.

    What stands before it in its line (variables, a pipe, `pip install ... &&`) and after it (a
    comment, a redirection) is left out.
    """
    found = []
    for line in [*code_lines(text), *CODE_SPAN.findall(text)]:
        for part in re.split(r"&&|\|", line):
            start = min((at for at in map(part.find, PROGRAMS) if at >= 0), default=None)
            if start is not None:
                words = shlex.split(part[start:], comments=True)
                found.append(words[: words.index(">")] if ">" in words else words)
    return [words for number, words in enumerate(found) if words not in found[:number]]


def parser_of(module: str) -> argparse.ArgumentParser:
    """Returns the parser with which `python -m MODULE` reads its flags."""

    def stop(parser, *_, **__):
        raise _FoundError(parser)

    original, argv = argparse.ArgumentParser.parse_known_args, sys.argv
    argparse.ArgumentParser.parse_known_args, sys.argv = stop, [module]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)
            runpy.run_module(module, run_name="__main__")
    except _FoundError as found:
        return found.args[0]
    finally:
        argparse.ArgumentParser.parse_known_args, sys.argv = original, argv
    raise AssertionError(f"{module} reads no flags")

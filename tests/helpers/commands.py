"""Runs a command's `main` in the process of the tests."""

import sys


def command_runner(name, main, monkeypatch, capfd, folder=None):
    """Returns a function of arguments that runs `main`, in `folder` where one is given.

    It returns the exit code, and what was printed on standard output and standard error.
    """

    def run(*arguments):
        if folder is not None:
            monkeypatch.chdir(folder)
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        printed = capfd.readouterr()
        return code, printed.out, printed.err

    return run

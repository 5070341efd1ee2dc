"""README.md and docs/: short, linked, and every command and flag in them exists."""

import re
from functools import cache

import pytest
from doc_commands import CODE_SPAN, PAGES, code_lines, commands, parser_of
from paths import REPOSITORY

from glr_keras.__main__ import COMMANDS

MAX_README_BYTES = 9000
LINK = re.compile(r"\[[^\]]+\]\(([^)\s]+)\)")
MODULES = [module for module, _ in COMMANDS.values()]
PYTHON_MODULES = {"apache_beam.runners.worker.worker_pool_main", "glr_keras"}  # not ours; no flags
ALL_COMMANDS = {  # the command as text -> its words
    " ".join(words): words for page in PAGES for words in commands(page.read_text(encoding="utf-8"))
}
by_name = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@cache
def flags_of(module):
    return set(parser_of(module)._option_string_actions)


def slugs(page):
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-") for text in headings}


def test_the_readme_is_short():
    assert (REPOSITORY / "README.md").stat().st_size <= MAX_README_BYTES


@by_name
def test_links_resolve(page):
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        assert not anchor or anchor in slugs(linked), target


def test_the_readme_links_every_page():
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    linked = {target for target in LINK.findall(text) if target.endswith(".md")}
    assert linked == {f"docs/{page.name}" for page in PAGES[1:]}


@pytest.mark.parametrize("page", PAGES[1:], ids=lambda page: page.name)
def test_a_page_starts_with_its_command(page):
    title, empty, first = page.read_text(encoding="utf-8").splitlines()[:3]
    assert (title[:2], empty) == ("# ", "")
    assert first.startswith(("    python ", "    pip "))


def test_every_command_is_documented():
    shown = {words[2] for words in ALL_COMMANDS.values() if words[1] == "-m"}
    assert shown == {*MODULES, *PYTHON_MODULES}


@pytest.mark.parametrize("command", ALL_COMMANDS)
def test_a_command_parses(command):
    words = ALL_COMMANDS[command]
    if words[3:] in ([], ["--help"]):
        return  # a mention
    if words[1] == "-m" and words[2] in MODULES:
        parser_of(words[2]).parse_args(words[3:])
    elif words[1] != "-m":
        script = (REPOSITORY / words[1]).read_text(encoding="utf-8")
        assert [word for word in words if word[:2] == "--" and f'"{word}"' not in script] == []


@by_name
def test_flags_exist(page):
    """Flags that stand without a command belong to one of ours."""
    text = page.read_text(encoding="utf-8")
    known = set().union(*map(flags_of, MODULES))
    for code in [*code_lines(text), *CODE_SPAN.findall(text)]:
        if code.startswith("--"):
            assert set(re.findall(r"(?<!\S)--[a-z0-9-]+", code)) <= known, code


@pytest.mark.parametrize("text", ["`python -m glr_keras.fit --no-such-flag`", "    --no-such-flag"])
def test_what_is_not_there_is_found(text, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"{text}\n[gone](gone.md)\n")
    for words in commands(text):
        with pytest.raises(SystemExit):
            parser_of(words[2]).parse_args(words[3:])
    if text[0] == " ":
        with pytest.raises(AssertionError):
            test_flags_exist(page)
    with pytest.raises(AssertionError):
        test_links_resolve(page)

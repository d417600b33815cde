"""The documentation is current, its links resolve, its commands exist, and the site builds."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from guardedit.cli.main import app
from guardedit.core.correction import decode_correction
from guardedit.editing.registry import Registry
from guardedit.policy.load import load_policy
from guardedit.settings import Settings
from guardedit.telemetry.metrics import FAMILIES
from tests.real_parts import missing

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
#: Signs that end the words of a command in a shell.
SHELL = {"|", ">", ">>", "<", "&&", ";", "#"}


def generator():
    found = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


GENERATE = generator()
WRITTEN_BY_HAND = [path for path in PAGES if str(path.relative_to(DOCS)) not in GENERATE.PAGES]
ROOT_COMMAND = typer.main.get_command(app)


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", GENERATE.PAGES)
def test_a_generated_page_is_current(page):
    text = GENERATE.PAGES[page]().rstrip() + "\n"
    current = (DOCS / page).exists() and (DOCS / page).read_text("utf-8") == text
    assert current, f"docs/{page} is out of date; renew it with: {GENERATE.COMMAND}"


# Links


def slug(heading):
    """The anchor of a heading, as Python-Markdown and GitHub both make it."""
    text = re.sub(r"[`*]|\[([^]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", text).strip().lower())


def anchors(path):
    prose = FENCE.sub("", path.read_text("utf-8"))
    return {slug(text) for text in re.findall(r"^#+ (.+)$", prose, re.MULTILINE)}


def links(path):
    prose = re.sub(r"`[^`\n]*`", "", FENCE.sub("", path.read_text("utf-8")))
    return re.findall(r"\]\(([^)\s]+)\)", prose)


@pytest.mark.parametrize("path", [*TOP, *PAGES], ids=name_of)
def test_every_link_inside_the_repository_resolves(path):
    for link in links(path):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        file = (path.parent / target).resolve() if target else path
        assert file.exists(), link
        assert not anchor or anchor in anchors(file), link


def test_a_broken_link_would_be_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# A `title` of [one](b.md)\n[x](a.md#b), `[y](c.md)`\n```\n[z](d.md)\n```\n")
    assert links(page) == ["b.md", "a.md#b"]
    assert anchors(page) == {"a-title-of-one"}


# Commands


def lines_of(text):
    """Lines of code, with those that end in a backslash joined to the next."""
    return re.sub(r"\\\n\s*", " ", text).splitlines()


def commands_in(path):
    """(command, whole): those in blocks are whole, those in running text may lack their arguments."""
    text = path.read_text("utf-8")
    for language, block in FENCE.findall(text):
        if language in {"", "sh", "bash", "console"}:
            for line in lines_of(block):
                start = re.search(r"(?:^|[$|] *)(guardedit .*)", line.strip())
                if start:
                    yield start[1], True
    for span in re.findall(r"`([^`\n]+)`", FENCE.sub("", text)):
        if span.startswith("guardedit "):
            yield span, False


def words_of(line):
    words = shlex.split(line, comments=True)
    end = next((n for n, word in enumerate(words) if word in SHELL), len(words))
    return words[1:end]


def parse(line, *, whole):
    """Read a command line as the program does, without running it."""
    command = ROOT_COMMAND
    context = command.context_class(command, info_name="guardedit")
    words = words_of(line)
    while hasattr(command, "commands"):
        if not words or words[0].startswith("-"):
            return
        name = words.pop(0)
        assert name in command.commands, f"{line!r}: {context.command_path} has no command {name!r}"
        command = command.commands[name]
        context = command.context_class(command, parent=context, info_name=name)
    if {"-h", "--help"} & set(words):
        return
    try:
        command.make_context(command.name, words)
    except Exception as error:
        if whole or type(error).__name__ not in {"MissingParameter", "BadOptionUsage"}:
            raise


@pytest.mark.parametrize("path", [*TOP, *PAGES], ids=name_of)
def test_every_command_line_parses(path):
    for line, whole in commands_in(path):
        try:
            parse(line, whole=whole)
        except Exception as error:  # noqa: BLE001 - typer's errors have no public name
            pytest.fail(f"{name_of(path)}: {line!r}: {getattr(error, 'message', error)}")


@pytest.mark.parametrize(
    "line", ["guardedit fact list", "guardedit facts lst", "guardedit facts list --placed weights"]
)
def test_a_command_that_does_not_exist_would_be_found(line):
    with pytest.raises(Exception, match=r"has no command|No such option"):
        parse(line, whole=False)


def test_a_missing_argument_is_found_in_a_block_only():
    parse("guardedit facts release", whole=False)
    with pytest.raises(Exception, match="Missing"):
        parse("guardedit facts release", whole=True)


# Examples


@pytest.mark.parametrize("path", [*TOP, *PAGES], ids=name_of)
def test_policies_and_corrections_in_the_text_can_be_read(path, tmp_path):
    for language, block in FENCE.findall(path.read_text("utf-8")):
        if language == "yaml" and "apiVersion" in block:
            (tmp_path / "policy.yaml").write_text(block, "utf-8")
            load_policy(tmp_path / "policy.yaml")
        if language == "json":
            body = json.loads(block)
            if "target_new" in body:
                decode_correction(json.dumps(body).encode())


def test_the_table_of_methods_is_what_their_cards_say():
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", (DOCS / "methods.md").read_text("utf-8"), re.MULTILINE)
    told = {name: tuple(rest.split(" | ")) for name, rest in rows if rest.count(" | ") == 4}
    registry = Registry()
    cards = {name: registry.resolve(name).card for name in registry.names}
    assert told == {
        name: (card.family, card.paper, card.stores, card.undo, card.batch) for name, card in cards.items()
    }
    measured = {name for name, rest in rows if rest.count(" | ") == 8}
    assert measured == set(registry.names)


@pytest.mark.parametrize("path", WRITTEN_BY_HAND, ids=name_of)
def test_every_metric_that_is_named_exists(path):
    known = {series for family in FAMILIES for series in family.series} | {one.name for one in FAMILIES}
    assert set(re.findall(r"\bguardedit_[a-z_]+", path.read_text("utf-8"))) <= known


def test_every_setting_is_documented():
    told = set(re.findall(r"^\| `GUARDEDIT_(\w+)`", (DOCS / "settings.md").read_text("utf-8"), re.MULTILINE))
    known = getattr(Settings, "model_fields", None) or Settings.__dataclass_fields__
    assert told == {name.upper() for name in known} | {"TRACEBACK"}


# The site


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_without_network(tmp_path):
    if importlib.util.find_spec("mkdocs") is None:
        missing("there is no mkdocs: pip install 'guardedit[docs]' brings it")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--config-file", ".mkdocs.yml"]
    # The banner of mkdocs-material about its own future is no warning about these pages.
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    built = subprocess.run(
        [*command, "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    loaded = [
        (file.name, link)
        for file in tmp_path.rglob("*.html")
        for link in re.findall(
            r"<(?:script|link|img|iframe)[^>]+(?:src|href)=\"(https?:[^\"]+)", file.read_text("utf-8")
        )
    ]
    assert loaded == []
    assert not list(tmp_path.rglob("*.py*"))

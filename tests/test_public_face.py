"""The public face of the package: what `import guardedit` offers."""

from __future__ import annotations

import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import guardedit


def test_all_is_sorted_and_complete():
    assert guardedit.__all__ == sorted(guardedit.__all__)
    assert dir(guardedit) == sorted(guardedit.__all__)
    public = {name for name in vars(guardedit) if not name.startswith("_")}
    modules = {name for name, value in vars(guardedit).items() if inspect.ismodule(value)}
    assert public - modules - {"annotations", "TYPE_CHECKING", "Any"} <= set(guardedit.__all__)


def test_every_public_name_can_be_used_and_says_what_it_is():
    for name in guardedit.__all__:
        found = getattr(guardedit, name)
        if name != "__version__":
            assert inspect.getdoc(found), name
            assert found.__name__ == name


def test_a_name_that_is_not_public_is_an_attribute_error():
    with pytest.raises(AttributeError, match=r"module 'guardedit' has no attribute 'Edior'"):
        _ = guardedit.Edior


def test_public_methods_say_what_they_do():
    for owner in (guardedit.Agent, guardedit.Editor, guardedit.Edited, guardedit.EditResult):
        for name, member in inspect.getmembers(owner):
            if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                assert inspect.getdoc(member), f"{owner.__name__}.{name}"


def test_importing_it_loads_neither_torch_nor_ray():
    code = (
        "import guardedit, sys; sys.exit(bool({'torch', 'ray', 'transformers', 'faiss'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_version_is_the_same_everywhere():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["version"] == guardedit.__version__

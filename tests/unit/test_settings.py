"""Settings come from the given environment, and errors name the variable and the remedy."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from guardedit.core.errors import UsageError
from guardedit.settings import Address, Settings


def test_an_empty_environment_gives_the_defaults() -> None:
    assert Settings.from_environment({}) == Settings()
    assert Settings.from_environment({"GUARDEDIT_HOME": " ", "GUARDEDIT_METRICS": ""}) == Settings()


def test_every_setting_can_be_set() -> None:
    settings = Settings.from_environment(
        {
            "GUARDEDIT_HOME": "/var/lib/guardedit",
            "GUARDEDIT_POLICY": "/etc/policy.yaml",
            "GUARDEDIT_MODEL": "/models/small",
            "GUARDEDIT_MODELS": "/models",
            "GUARDEDIT_ENCODER": "/models/encoder",
            "GUARDEDIT_PROBES": "/models/probes.json",
            "GUARDEDIT_BANDS": "/models/bands.json",
            "GUARDEDIT_JUDGE": "/models/judge.safetensors",
            "GUARDEDIT_DEVICE": "cuda:1",
            "GUARDEDIT_METRICS": "[::1]:9000",
            "GUARDEDIT_ADMIN": "10.0.0.1:9001",
            "GUARDEDIT_ADMIN_READING": "tokens",
            "GUARDEDIT_ADMIN_TLS_CERTIFICATE": "/etc/tls/cert.pem",
            "GUARDEDIT_ADMIN_TLS_KEY": "/etc/tls/key.pem",
            "GUARDEDIT_ADMIN_OPEN_TO_ALL": "yes",
            "GUARDEDIT_REDIS_URL": "rediss://:secret@broker:6380/1",
            "GUARDEDIT_REDIS_STREAM": "facts",
            "GUARDEDIT_REDIS_GROUP": "team-a",
            "GUARDEDIT_LEDGER_KEY": "secret",
            "GUARDEDIT_RUNTIME": "ray",
            "GUARDEDIT_RAY_ADDRESS": "ray-head:6379",
            "GUARDEDIT_MODEL_WORKERS": "4",
        }
    )
    assert settings.home == Path("/var/lib/guardedit")
    assert settings.metrics == Address("::1", 9000)
    assert settings.model_workers == 4
    default = Settings()
    same = [f.name for f in fields(Settings) if getattr(settings, f.name) == getattr(default, f.name)]
    assert same == []


def test_metrics_can_be_off() -> None:
    assert Settings.from_environment({"GUARDEDIT_METRICS": "off"}).metrics is None


def test_a_tilde_is_the_home_of_the_given_environment() -> None:
    settings = Settings.from_environment({"HOME": "/home/ada", "GUARDEDIT_HOME": "~/facts"})
    assert settings.home == Path("/home/ada/facts")
    assert settings.models == Path("/home/ada/.local/share/guardedit/models")


def test_a_policy_may_be_the_name_of_a_shipped_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    policy = Settings.from_environment({"GUARDEDIT_POLICY": "memory-only"}).policy
    assert (policy.name, policy.is_file()) == ("memory-only.yaml", True)
    assert Settings.from_environment({"GUARDEDIT_POLICY": "mine"}).policy == Path("mine")


@pytest.mark.parametrize(
    ("variable", "value", "remedy"),
    [
        ("GUARDEDIT_DEVICE", "gpu", "cuda:0"),
        ("GUARDEDIT_METRICS", "9108", "host:port"),
        ("GUARDEDIT_ADMIN", "9109", "host:port"),
        ("GUARDEDIT_ADMIN_OPEN_TO_ALL", "perhaps", "yes or no"),
        ("GUARDEDIT_METRICS", "localhost:99999", "host:port"),
        ("GUARDEDIT_METRICS", ":9108", "host:port"),
        ("GUARDEDIT_METRICS", "host:٣", "host:port"),
        ("GUARDEDIT_RUNTIME", "Ray", "local or ray"),
        ("GUARDEDIT_MODEL_WORKERS", "0", "from 1"),
        ("GUARDEDIT_MODEL_WORKERS", "two", "from 1"),
        ("GUARDEDIT_REDIS_STREAM", "a b", "letters"),
        ("GUARDEDIT_HOME", "a\0b", "NUL"),
    ],
)
def test_a_wrong_value_names_variable_value_and_remedy(variable: str, value: str, remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        Settings.from_environment({variable: value})
    assert str(caught.value).startswith(f"{variable} is {value!r}: ")
    assert remedy in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "broker:6379",
        "http://user:secret@broker",
        "redis://user:secret@broker:x/0",
        "redis://[secret",
        "redis://",
    ],
)
def test_a_wrong_redis_address_is_refused_without_repeating_a_password(url: str) -> None:
    with pytest.raises(UsageError, match="GUARDEDIT_REDIS_URL is not a Redis address") as caught:
        Settings.from_environment({"GUARDEDIT_REDIS_URL": url})
    assert "secret" not in str(caught.value)


def test_a_password_is_not_in_the_repr() -> None:
    settings = Settings.from_environment({"GUARDEDIT_REDIS_URL": "redis://:secret@broker:6379/0"})
    assert "secret" not in repr(settings)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        Settings.from_environment({"GUARDEDIT_DEVICE": "gpu", "GUARDEDIT_RUNTIME": "k8s"})
    assert len(str(caught.value).splitlines()) == 2


def test_the_ledger_key_is_not_shown() -> None:
    settings = Settings.from_environment({"GUARDEDIT_LEDGER_KEY": "very-secret"})
    assert settings.ledger_key == b"very-secret"
    assert "very-secret" not in repr(settings)


def test_a_changed_copy_is_checked_like_the_original() -> None:
    settings = Settings.from_environment({"GUARDEDIT_LEDGER_KEY": "very-secret"})
    changed = replace(settings, metrics=None, model_workers=2)
    assert (changed.metrics, changed.model_workers, changed.ledger_key) == (None, 2, b"very-secret")
    with pytest.raises(UsageError, match="GUARDEDIT_MODEL_WORKERS is 0: use a whole number from 1"):
        replace(settings, model_workers=0)
    with pytest.raises(UsageError, match="there is no setting 'modle': known are home, "):
        replace(settings, modle="x")


def test_variables_that_are_no_settings_are_ignored() -> None:
    assert Settings.from_environment({"GUARDEDIT_FAILPOINT": "a:1", "GUARDEDIT": "x"}) == Settings()


def test_the_environment_of_the_process_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARDEDIT_DEVICE", "cuda")
    assert Settings() == Settings.from_environment({})


def test_a_folder_that_is_not_utf8_can_be_named() -> None:
    assert Settings.from_environment({"GUARDEDIT_HOME": "/tmp/\udcff"}).home == Path("/tmp/\udcff")

"""docker-compose.yml and the Dockerfile: valid, pinned, on loopback only, healthy, confined, and without a secret."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
BIN = Path(sys.executable).parent
IN_FULL = {"argilla", "worker", "postgres", "elasticsearch", "redis"}


def test_every_image_has_a_full_version() -> None:
    foreign = {name: service["image"] for name, service in SERVICES.items() if "build" not in service}
    assert foreign.keys() == IN_FULL
    for name, image in foreign.items():
        assert re.search(r":v?\d+\.\d+(\.\d+)?(-\w+)?$", image), name


def test_argilla_and_the_champion_alone_are_published_and_on_loopback() -> None:
    assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
        "argilla": ["127.0.0.1:6900:6900"],
        "embedded": ["127.0.0.1:6900:6900"],
        "predict": ["127.0.0.1:8080:8080"],
    }


def test_who_is_waited_for_can_tell_that_it_is_healthy() -> None:
    waited_for = {name for service in SERVICES.values() for name in service.get("depends_on", {})}
    assert waited_for == {"argilla", "embedded", "postgres", "elasticsearch", "redis"}
    assert {name for name, service in SERVICES.items() if "healthcheck" not in service} == {"worker"}


def test_every_service_belongs_to_one_profile() -> None:
    profiles = {name: service["profiles"] for name, service in SERVICES.items()}
    assert profiles == {name: ["full" if name in IN_FULL else name] for name in SERVICES}


def test_containers_are_confined() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert re.fullmatch(r"\d+[gm]", service["mem_limit"]), name
    assert [name for name, service in SERVICES.items() if not service.get("read_only")] == ["elasticsearch"]


def test_a_service_gets_the_secrets_that_it_reads_and_no_others() -> None:
    for name, service in SERVICES.items():
        text = json.dumps(service)
        read = set(re.findall(r"secrets/([A-Z_]+)|secret ([A-Z_]+)", text))
        optional = {"ARGILLA_PASSWORD", "ARGILLA_API_KEY"} if name == "worker" else set()  # one script serves both
        assert {one or other for one, other in read} - optional == set(service.get("secrets", [])), name


def made_env(directory: Path) -> dict[str, str]:
    subprocess.run(["make", "-f", ROOT / "Makefile", ".env"], cwd=directory, check=True, capture_output=True)
    return {path.name: path.read_text("utf-8").strip() for path in (directory / "secrets").iterdir()}


def test_every_secret_is_generated_once_and_kept_from_others(tmp_path: Path) -> None:
    made = made_env(tmp_path)
    assert {name: f"./secrets/{name}" for name in made} == {
        name: secret["file"] for name, secret in COMPOSE["secrets"].items()
    }
    assert len(set(made.values())) == len(made)
    assert all(len(secret) == 48 for secret in made.values())
    assert (tmp_path / "secrets").stat().st_mode & 0o077 == 0
    assert all(path.stat().st_mode & 0o777 == 0o444 for path in (tmp_path / "secrets").iterdir())
    assert (tmp_path / ".env").read_text("utf-8") == "COMPOSE_PROFILES=full\n"
    (tmp_path / ".env").write_text("COMPOSE_PROFILES=embedded,retrain\n", "utf-8")
    (tmp_path / "secrets" / "REDIS_PASSWORD").unlink()
    again = made_env(tmp_path)
    assert {name for name in made if made[name] != again[name]} == {"REDIS_PASSWORD"}
    assert (tmp_path / ".env").read_text("utf-8") == "COMPOSE_PROFILES=embedded,retrain\n"


def test_passwords_of_an_earlier_version_stay(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ELASTIC_PASSWORD=one\nPOSTGRES_PASSWORD=two\n", "utf-8")
    made = made_env(tmp_path)
    assert (made["ELASTIC_PASSWORD"], made["POSTGRES_PASSWORD"]) == ("one", "two")
    assert len(made["REDIS_PASSWORD"]) == 48
    assert (tmp_path / ".env").read_text("utf-8").endswith("two\nCOMPOSE_PROFILES=full\n")


# What others say of the files


def checked(*words: object) -> None:
    done = subprocess.run([*map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", ["docker-compose.yml", "deploy/cuda.yml", "tests/stack/stand-ins.yml"])
def test_it_follows_the_compose_specification(name: str, tmp_path: Path) -> None:
    check = (BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec")
    checked(*check, name)
    wrong = tmp_path / "wrong.yml"
    wrong.write_text((ROOT / name).read_text("utf-8").replace("services:", "service:"), "utf-8")
    with pytest.raises(AssertionError, match="service"):
        checked(*check, wrong)


def test_the_workflow_follows_its_schema() -> None:
    for path in (ROOT / ".github" / "workflows").iterdir():
        checked(BIN / "check-jsonschema", "--builtin-schema", "vendor.github-workflows", path)


@pytest.mark.parametrize("name", ["Dockerfile", "tests/stack/stand-ins.Dockerfile"])
def test_hadolint_has_nothing_to_say(name: str, tmp_path: Path) -> None:
    checked(BIN / "hadolint", name)
    wrong = tmp_path / "Dockerfile"
    wrong.write_text((ROOT / name).read_text("utf-8") + "\nRUN cd /tmp\n", "utf-8")
    with pytest.raises(AssertionError, match="DL3003"):
        checked(BIN / "hadolint", wrong)


def test_the_image_gets_what_it_is_made_of_and_nothing_else() -> None:
    """Whatever lies in the checkout, secrets and data too, stays out unless it is named."""
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if not line.startswith("#")]
    assert rules[0] == "*"
    copied = re.findall(r"^COPY ([^-].*) \S+$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    names = {name for words in copied for name in words.split()}
    assert {rule[1:] for rule in rules if rule.startswith("!")} == names


# What runs without compose


def test_systemd_has_nothing_to_say_about_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    for kind in ("service", "timer"):
        text = (ROOT / "deploy" / f"tutelage-retrain@.{kind}").read_text("utf-8")
        text = text.replace("/srv/tutelage/.venv/bin/tutelage", str(BIN / "tutelage"))  # must be there
        (tmp_path / f"tutelage-retrain@.{kind}").write_text(text, "utf-8")
    verify = ("systemd-analyze", "verify", "--man=no", *sorted(tmp_path.iterdir()))
    done = subprocess.run(verify, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "tutelage-retrain@.timer").write_text("[Timer]\nOnCalendar=now and then\n", "utf-8")
    assert subprocess.run(verify, capture_output=True, check=False).returncode != 0


def test_the_job_on_kubernetes_is_as_confined_as_with_compose() -> None:
    claim, job = yaml.safe_load_all((ROOT / "deploy" / "cronjob.yaml").read_text("utf-8"))
    spec = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    assert container["args"] == [word for word in SERVICES["retrain"]["command"] if word in {"retrain", "--json"}]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (spec["securityContext"]["runAsNonRoot"], spec["securityContext"]["runAsUser"]) == (True, 1000)
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes.keys() == {mount["name"] for mount in container["volumeMounts"]}
    assert volumes["task"]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tutelage.core.errors import TaskError, TeacherError
from tutelage.core.settings import load_settings
from tutelage.core.task import parse_task
from tutelage.core.teachers import Teacher
from tutelage.loaders.migrations import STEPS
from tutelage.loaders.models.keys import key_of
from tutelage.loaders.teacher.teacher_ledger import TeacherLedger


def teacher(**keys: str) -> Teacher:
    return Teacher.model_validate({"name": "t", "license": "none", "model": "m", **keys})


def test_the_hugging_face_router_gets_the_hubs_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("huggingface_hub.get_token", lambda: "hf_saved")
    assert key_of(teacher(), tmp_path) == "hf_saved"
    monkeypatch.setenv("HF_TOKEN", "hf_env")
    assert key_of(teacher(), tmp_path) == "hf_env"
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr("huggingface_hub.get_token", lambda: None)
    with pytest.raises(TeacherError, match="run 'hf auth login' or set HF_TOKEN"):
        key_of(teacher(), tmp_path)


def test_other_endpoints_get_no_key_of_the_hub_or_of_openai(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_env")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    assert key_of(teacher(base_url="http://127.0.0.1:8000/v1"), tmp_path) == "none"
    assert key_of(teacher(base_url="https://api.openai.com/v1"), tmp_path) == "sk-env"


def test_a_key_file_holds_the_key_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-file\n", "utf-8")
    (tmp_path / "two").write_text("sk-one\nsk-two\n", "utf-8")
    assert key_of(teacher(api_key_file="key"), tmp_path) == "sk-file"
    with pytest.raises(TeacherError, match="must contain the key and nothing else") as caught:
        key_of(teacher(api_key_file="two"), tmp_path)
    assert "sk-" not in str(caught.value)


def test_a_key_that_no_header_takes_is_said_without_the_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-schlüssel", "utf-8")
    with pytest.raises(TeacherError, match="its API key has 'ü' at character 8, which no key has; copy") as caught:
        key_of(teacher(api_key_file="key"), tmp_path)
    assert "sk-" not in str(caught.value)


def test_an_env_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"HF_TOKEN=\xff\n")
    with pytest.raises(TaskError, match=r"\.env: cannot be read: 'utf-8' codec .* Save it as a UTF-8 text file"):
        key_of(teacher(api_key_env="NOT_SET"), tmp_path)
    with pytest.raises(TaskError, match=r"\.env: cannot be read"):
        load_settings(tmp_path)


def test_a_ledger_from_before_teachers_were_asked_keeps_its_votes(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "task.db")
    db.executescript(STEPS[0])
    db.execute("PRAGMA user_version = 1")
    db.execute("INSERT INTO records (id, text) VALUES ('r', 'text')")
    db.execute("INSERT INTO answers (record, teacher, prompt, vote, said, reason) VALUES ('r', 't', 'p', 1, 'a', 'w')")
    db.commit()
    db.close()
    with TeacherLedger(tmp_path / "task.db") as ledger:
        (record,) = ledger.records(parse_task("name: x\nlabels: [a, b]\n"))
        assert ledger.spent() == []
    assert (record.votes[0].label, record.votes[0].reason) == ("a", "w")


def test_answers_and_calls_are_append_only(tmp_path: Path) -> None:
    with TeacherLedger(tmp_path / "task.db"):
        pass
    db = sqlite3.connect(tmp_path / "task.db")
    db.execute("INSERT INTO records (id, text) VALUES ('r', 'text')")
    db.execute("INSERT INTO answers (record, teacher, prompt, vote, said, reason) VALUES ('r', 't', 'p', 1, 'a', 'w')")
    db.execute("INSERT INTO calls VALUES (1, 'raw', 'json', 'stop', '', 1, 1, 0.1, 0.1, 1, NULL)")
    for change in ("UPDATE calls SET cost = 0", "DELETE FROM calls", "DELETE FROM answers"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            db.execute(change)
    db.close()

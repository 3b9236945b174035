"""API keys: from the environment, the task directory's ``.env``, or a key file. Never stored, never printed."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import urlsplit

from tutelage.core.errors import TeacherError
from tutelage.core.settings import check_env_file, unprintable
from tutelage.core.teachers import HUGGING_FACE, Teacher

_OPENAI_HOST = "api.openai.com"
_NO_KEY = "none"  # sent to endpoints that need no key


def key_of(teacher: Teacher, directory: Path) -> str:
    """The API key for a teacher's endpoint.

    Raises
    ------
    TeacherError
        When the variable or file that the task names holds no key, or the endpoint needs one.
    """
    key = _key_of(teacher, directory)
    if place := unprintable(key):
        raise TeacherError(
            f"teacher {teacher.name!r}: its API key has {key[place - 1]!r} at character {place}, which no key has;"
            " copy the key again"
        )
    return key


def _key_of(teacher: Teacher, directory: Path) -> str:
    if teacher.api_key_file:
        return _from_file(directory / Path(teacher.api_key_file).expanduser(), teacher)
    if teacher.api_key_env:
        return _from_environment(teacher.api_key_env, teacher, directory)
    if teacher.base_url == HUGGING_FACE:
        return _from_hugging_face(teacher, directory)
    if urlsplit(teacher.base_url).hostname == _OPENAI_HOST:
        return _from_environment("OPENAI_API_KEY", teacher, directory)
    return _NO_KEY


def _from_file(path: Path, teacher: Teacher) -> str:
    try:
        key = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TeacherError(f"teacher {teacher.name!r}: key file {path} cannot be read: {error}") from None
    if not key or any(char.isspace() for char in key):
        raise TeacherError(f"teacher {teacher.name!r}: key file {path} must contain the key and nothing else")
    return key


def _from_environment(name: str, teacher: Teacher, directory: Path) -> str:
    key = _lookup(name, directory)
    if not key:
        raise TeacherError(
            f"teacher {teacher.name!r}: no API key: set {name} in the environment or in {directory / '.env'}"
        )
    return key


def _from_hugging_face(teacher: Teacher, directory: Path) -> str:
    from huggingface_hub import get_token

    key = _lookup("HF_TOKEN", directory) or get_token()
    if not key:
        raise TeacherError(f"teacher {teacher.name!r}: no Hugging Face token: run 'hf auth login' or set HF_TOKEN")
    return key


def _lookup(name: str, directory: Path) -> str:
    from dotenv import dotenv_values

    check_env_file(directory)
    return (os.environ.get(name) or dotenv_values(directory / ".env").get(name) or "").strip()

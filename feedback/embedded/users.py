"""The owner, the annotator and the workspace that they share."""

from __future__ import annotations

from typing import Any

from argilla_server.contexts import accounts
from argilla_server.database import AsyncSessionLocal
from argilla_server.enums import UserRole
from argilla_server.models import User, Workspace, WorkspaceUser


async def ensure_users(credentials: dict[str, Any]) -> None:
    """Make sure that the two accounts of `credentials` exist, and that somebody is in the workspace."""
    async with AsyncSessionLocal() as db:
        owner = await _ensure_user(db, credentials["owner"], UserRole.owner)
        if credentials["owner"].get("given"):
            await _ensure_password(db, owner, credentials["owner"])
        annotator = await _ensure_user(db, credentials["annotator"], UserRole.annotator)
        workspace = await _ensure_workspace(db, credentials["workspace"])
        await _ensure_a_member(db, workspace, annotator)


async def _ensure_user(db: Any, account: dict[str, str], role: UserRole) -> Any:
    user = await User.get_by(db, username=account["username"])
    if user is None:
        return await User.create(
            db, role=role, first_name=account["username"], **_secrets(account), username=account["username"]
        )
    if user.api_key != account["api_key"]:  # credentials.json was recreated beside an old database
        await user.update(db, **_secrets(account))
    return user


async def _ensure_password(db: Any, user: Any, account: dict[str, str]) -> None:
    """Give the owner the password that a person chose, which may be new while the key stays."""
    if not accounts.verify_password(account["password"], user.password_hash):
        await user.update(db, **_secrets(account))


def _secrets(account: dict[str, str]) -> dict[str, str]:
    return {"api_key": account["api_key"], "password_hash": accounts.hash_password(account["password"])}


async def _ensure_workspace(db: Any, name: str) -> Any:
    return await Workspace.get_by(db, name=name) or await accounts.create_workspace(db, {"name": name})


async def _ensure_a_member(db: Any, workspace: Any, user: Any) -> None:
    """Let the user in where nobody is in the workspace: one who was taken out while others are in it stays out."""
    if not await WorkspaceUser.count_by(db, workspace_id=workspace.id):
        await accounts.create_workspace_user(db, {"workspace_id": workspace.id, "user_id": user.id})

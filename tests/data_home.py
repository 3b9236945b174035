"""A data directory of its own for commands that start the user's server."""

from __future__ import annotations

from pathlib import Path

from tutelage.feedback.server.installation import data_home


def own_data_home(tmp_path: Path) -> dict[str, str]:
    """The variable that moves it, with the server's environment as it is: making one takes longer than all the rest."""
    home = tmp_path / "data"
    (home / "tutelage").mkdir(parents=True)
    for environment in data_home().glob("argilla-env-*"):
        (home / "tutelage" / environment.name).symlink_to(environment)
    return {"XDG_DATA_HOME": str(home)}

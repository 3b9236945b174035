"""Where the client spends its CPU time in ``annotate``: ms a call by package, under cProfile, which doubles them."""

from __future__ import annotations

import cProfile
import pstats
import re
import tempfile
from collections import Counter
from pathlib import Path

from teacher import AT_ONCE, LATENCY, endpoint, make_task, synthetic

TEXTS, VOTES, SHOWN = 1000, 3, 12
_PACKAGE = re.compile(r"site-packages/([^/]+)|(tutelage|asyncio)/")


def package_of(file: str) -> str:
    """The package that a profiled function belongs to; built-in functions have no file."""
    match = _PACKAGE.search(file)
    return (match[1] or match[2]) if match else "built in" if file == "~" else "standard library"


def main() -> None:
    from tutelage.core.workspace import Workspace
    from tutelage.loaders.teacher.session import Session

    with tempfile.TemporaryDirectory() as name:
        folder, answers = Path(name), synthetic(TEXTS)
        with endpoint(folder, answers, latency=LATENCY) as server:
            teacher = {"base_url": server.url, "votes": VOTES, "limits": {"concurrency": AT_ONCE}}
            make_task(folder, list(answers), ["good", "bad"], teacher)
            session = Session.of(Workspace(folder))
            with cProfile.Profile() as profile:
                calls = session.run().votes
    times: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    for (file, _, function), (_, _, own, _, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        if "epoll" not in function:  # it waits
            times[package_of(file)] += own
            functions[f"{package_of(file)}: {function}"] += own
    for title, counts in (("package", times), ("function", functions)):
        print(f"ms a call by {title}, {calls} calls:")
        for what, seconds in counts.most_common(SHOWN):
            print(f"  {what:70} {1000 * seconds / calls:.3f}")


if __name__ == "__main__":
    main()

"""Replacements of modules of Argilla that this server does not need, installed before Argilla is imported.

Search clusters, Redis, the Hugging Face Hub and telemetry are imported by Argilla whether they are
used or not. With these replacements their libraries need not be installed, and telemetry cannot
be sent because the code that sends it is absent.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from .jobs import Connection, Queue

UNLIMITED = -1  # Argilla's value for a job without a timeout


def install_stand_ins(background: Queue, urgent: Queue) -> None:
    """Register all stand-ins."""
    _refuse_if_too_late()
    _module("search_engine.elasticsearch", ElasticSearchEngine=type("ElasticSearchEngine", (), {}))
    _module("search_engine.opensearch", OpenSearchEngine=type("OpenSearchEngine", (), {}))
    _module("telemetry", TelemetryClient=_NoTelemetry, get_telemetry_client=_NoTelemetry)
    _module(
        "jobs.queues",
        REDIS_CONNECTION=Connection(),
        DEFAULT_QUEUE=background,
        HIGH_QUEUE=urgent,
        JOB_TIMEOUT_DISABLED=UNLIMITED,
    )
    _module("jobs.hub_jobs", import_dataset_from_hub_job=_NoHub(), export_dataset_to_hub_job=_NoHub())


def _refuse_if_too_late() -> None:
    if "argilla_server" in sys.modules:
        raise RuntimeError("argilla_server was imported before its stand-ins were installed.")


def _module(name: str, **content: Any) -> None:
    module = ModuleType(f"argilla_server.{name}")
    vars(module).update(content)
    sys.modules[module.__name__] = module


class _NoTelemetry:
    """Takes the place of the client; with telemetry switched off nothing is called on it."""


class _NoHub:
    """A job that cannot be started here."""

    def delay(self, **_options: Any) -> None:
        from argilla_server.errors.future import UnprocessableEntityError

        raise UnprocessableEntityError(
            "The embedded Argilla has no connection to the Hugging Face Hub. "
            "Import and export datasets with the argilla Python library instead."
        )

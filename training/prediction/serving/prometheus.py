"""``GET /metrics``: what ``serve-student`` has done, for Prometheus."""

from __future__ import annotations

import time
from typing import Any

from tutelage.training.prediction.serving.following import ServedStudent

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class ServingMetrics:
    """Counts requests for predictions, their texts, and the batches that these are computed in."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

        self._registry = own = CollectorRegistry()
        ProcessCollector(registry=own)
        self._requests = Counter("tutelage_requests", "Requests for predictions, by status.", ["status"], registry=own)
        self._seconds = Histogram(
            "tutelage_request_duration_seconds",
            "Time to answer a request for predictions.",
            registry=own,
            buckets=_SECONDS,
        )
        self._texts = Counter("tutelage_texts", "Texts predicted.", registry=own)
        self._truncated = Counter("tutelage_texts_truncated", "Texts longer than the student reads.", registry=own)
        self._batches = Histogram("tutelage_batch_texts", "Texts computed together.", registry=own, buckets=_TEXTS)
        self._queue = Gauge("tutelage_queue_texts", "Texts that wait or are being computed.", registry=own)
        self._student = Info("tutelage_student", "The student that answers, and its engine.", registry=own)

    def batch(self, texts: int, truncated: int) -> None:
        """Count a batch."""
        self._batches.observe(texts)
        self._texts.inc(texts)
        self._truncated.inc(truncated)

    def page(self, now: ServedStudent, accept: str) -> tuple[bytes, str]:
        """The metrics in a format that the client accepts, and its content type."""
        from prometheus_client.exposition import choose_encoder

        self._queue.set(now.batches.waiting)
        self._student.info({"id": now.entry.id, "engine": now.chosen.name})
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def counting(self, app: Any) -> Any:
        """The ASGI application, whose requests for predictions are counted and timed."""

        async def wrapped(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "http" or scope["path"] != "/":
                await app(scope, receive, send)
                return
            started, status = time.perf_counter(), 500

            async def noted(message: Any) -> None:
                nonlocal status
                status = message.get("status", status)
                await send(message)

            try:
                await app(scope, receive, noted)
            finally:
                self._requests.labels(str(status)).inc()
                self._seconds.observe(time.perf_counter() - started)

        return wrapped

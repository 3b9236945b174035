"""The addresses that ``serve-student`` answers on."""

from __future__ import annotations

from typing import Any

from tutelage.training.prediction.serving.batching import QueueFullError
from tutelage.training.prediction.serving.following import Following
from tutelage.training.prediction.serving.gatekeeper import JSON, Gatekeeper, is_json
from tutelage.training.prediction.serving.pipeline_request import (
    RequestError,
    RequestLimits,
    parse_request,
    ranked_labels,
)
from tutelage.training.prediction.serving.prometheus import ServingMetrics
from tutelage.training.prediction.serving.stopping import Stopping


def make_app(
    following: Following, limits: RequestLimits, metrics: ServingMetrics, stopping: Stopping, *, local: bool
) -> Any:
    """The ASGI application; ``local`` says that only this machine can connect."""
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    async def predict(request: Any) -> Any:
        try:
            parsed = parse_request(await _body(request, limits.body), limits)
            now = following.now
            probs = await now.batches.answer(parsed.texts)
        except RequestError as refused:
            return JSONResponse({"error": refused.why}, refused.status)
        except QueueFullError:
            return JSONResponse({"error": "overloaded; try again in a second"}, 503, {"Retry-After": "1"})
        return JSONResponse(ranked_labels(probs, now.entry.manifest.labels, parsed.top_k))

    async def health(_request: Any) -> Any:
        status = "stopping" if stopping.begun else "ok"
        return JSONResponse({"status": status, **_about(following)}, 503 if stopping.begun else 200)

    async def show_metrics(request: Any) -> Any:
        page, content_type = metrics.page(following.now, request.headers.get("accept", ""))
        return Response(page, headers={"Content-Type": content_type})

    async def failed(_request: Any, error: Exception) -> Any:
        status = getattr(error, "status_code", 500)
        return JSONResponse(
            {"error": getattr(error, "detail", "internal error: the student failed on this request")}, status
        )

    routes = [Route("/", predict, methods=["POST"]), Route("/health", health), Route("/metrics", show_metrics)]
    handlers = dict.fromkeys((404, 405, 500), failed)
    inner = Starlette(routes=routes, exception_handlers=handlers, lifespan=lambda _app: following.running())
    return metrics.counting(Gatekeeper(inner, local=local))


def _about(following: Following) -> dict[str, Any]:
    now, manifest = following.now, following.now.entry.manifest
    about = {"student": now.entry.id, "engine": now.chosen.name, "labels": list(manifest.labels)}
    return {**about, "probabilities": manifest.probabilities}


async def _body(request: Any, most: int) -> bytes:
    if not is_json(request.headers.get("content-type", "")):
        raise RequestError(415, f"the body must be JSON; send it with the header Content-Type: {JSON}")
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > most:
            raise RequestError(413, f"the body has more than {most} bytes; send fewer texts per request")
    return body

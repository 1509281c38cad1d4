"""`/openapi.json`, and `/docs`: a page that shows it, with nothing that comes from anywhere else."""

import json
from base64 import b64encode
from collections.abc import Callable
from functools import cache
from hashlib import sha256
from typing import Any, Final

from fastapi import APIRouter, Depends, FastAPI, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from jobyard.http.access import check_reader
from jobyard.http.operation import JSON

SCRIPT: Final = 'SwaggerUIBundle({url: "openapi.json", dom_id: "#swagger-ui", deepLinking: true})'
PAGE: Final = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Jobyard</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="data:,">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script>{SCRIPT}</script>
</body>
</html>
"""
# Swagger UI writes styles into its elements, and pictures into its styles.
POLICY: Final = (
    "default-src 'none'; connect-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    f"script-src 'self' 'sha256-{b64encode(sha256(SCRIPT.encode()).digest()).decode()}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def add_documentation(app: FastAPI, build: Callable[[], dict[str, Any]]) -> None:
    """Serve the document, which is built for the first who asks for it, and the page that shows it."""
    router = APIRouter(include_in_schema=False)
    # Both have the schemas of all tasks, and a browser can send a key as a password alone.
    guarded = [Depends(check_reader)]

    @cache
    def text() -> bytes:
        return json.dumps(build(), ensure_ascii=False, separators=(",", ":")).encode()

    @router.get("/openapi.json", dependencies=guarded)
    def document() -> Response:
        return Response(text(), media_type=JSON)

    @router.get("/docs", dependencies=guarded)
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE, headers={"Content-Security-Policy": POLICY})

    @router.get("/")
    async def front_page() -> RedirectResponse:
        return RedirectResponse("/docs")

    app.include_router(router)
    app.mount("/docs", StaticFiles(packages=[("fastapi_offline", "static")]))
    app.openapi = build  # type: ignore[method-assign]

#!/usr/bin/env python3
"""Answers what is asked of Elasticsearch about its health, to those who know the password; it searches nothing."""

import base64
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WANTED = "Basic " + base64.b64encode(f"elastic:{os.environ['ELASTIC_PASSWORD']}".encode()).decode()


class Handler(BaseHTTPRequestHandler):
    """One request."""

    def do_GET(self) -> None:
        """Say that all is well."""
        is_known = self.headers["Authorization"] == WANTED
        body = json.dumps({"status": "green"} if is_known else {"error": "security_exception"}).encode()
        self.send_response(200 if is_known else 401)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("", 9200), Handler).serve_forever()

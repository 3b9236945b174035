"""Calls to an LLM: over HTTP or in this process, with rate limits, retries and a budget."""

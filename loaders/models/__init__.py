"""How an LLM is asked: over HTTP or in this process, within its limits and a budget, with retries."""

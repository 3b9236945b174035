"""The embedded Argilla: installed, started, found and stopped."""

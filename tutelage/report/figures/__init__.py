"""The figures of the report: from what a task directory holds to frozen dataclasses."""

"""The steps of a task as Python calls, behind ``tutelage.Project``."""

"""``python -m tutelage``."""

from tutelage.commands.cli import main

main()

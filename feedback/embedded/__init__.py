"""Argilla's server as one process on SQLite: no Docker, no Elasticsearch, no Redis.

The code in this folder runs in an environment of its own (``requirements.txt``), against the
unmodified ``argilla-server`` wheel, and imports nothing of the rest of the project.

    serve.py        the program: parses its arguments, becomes the package, calls app.serve_argilla
    app.py          puts the parts together and serves
    environment.py  what Argilla reads from the environment: paths, secrets, nothing sent outside
    stand_ins.py    modules of Argilla that this server does without
    lock.py         one server on one data directory, and where it listens
    database.py     SQLite's settings, migrations, the text index
    users.py        the owner, the annotator and their workspace
    search.py       Argilla's search engine interface, answered from the database
    values.py       the values of a record that can be filtered and sorted by
    conditions.py   Argilla's filters and orders as SQL
    textquery.py    what a person types into the search box
    sqlite.py       everything that only SQLite understands
    jobs.py         Argilla's job queue as asyncio tasks
    pages.py         the web pages, which load nothing from elsewhere
    patching.py      how modules of Argilla are changed in memory
    sign_in_limit.py  wrong passwords are answered ever more slowly
    server_log.py   the log, kept short
    speed.py        two optimisations of the work per record
"""

"""The schema of ``task.db``, one step a version; a step that was released is never edited."""

from __future__ import annotations

import sqlite3

from tutelage.core.errors import LedgerError

STEPS = (
    """
    CREATE TABLE records (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        text TEXT NOT NULL,
        given TEXT
    ) STRICT;

    -- What a voter said, as it said it. Which label that names is decided when it is read, so that
    -- an alias added later turns an abstention into a vote and nothing has to be asked again.
    CREATE TABLE answers (
        seq INTEGER PRIMARY KEY,
        record TEXT NOT NULL REFERENCES records (id),
        teacher TEXT NOT NULL,
        prompt TEXT NOT NULL,
        vote INTEGER NOT NULL,
        said TEXT NOT NULL,
        reason TEXT NOT NULL,
        at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
        UNIQUE (record, teacher, prompt, vote)
    ) STRICT;

    CREATE TRIGGER answers_stay BEFORE UPDATE ON answers
    BEGIN SELECT RAISE(ABORT, 'the ledger of answers is append-only'); END;
    CREATE TRIGGER answers_remain BEFORE DELETE ON answers
    BEGIN SELECT RAISE(ABORT, 'the ledger of answers is append-only'); END;

    CREATE TABLE ranks (
        record TEXT PRIMARY KEY REFERENCES records (id),
        label_quality REAL NOT NULL,
        suspect_rank INTEGER NOT NULL
    ) STRICT;

    -- What each dataset on an Argilla server, by its uuid, was last sent of a record.
    CREATE TABLE pushed (
        dataset TEXT NOT NULL,
        record TEXT NOT NULL REFERENCES records (id),
        content TEXT NOT NULL,
        metadata TEXT NOT NULL,
        PRIMARY KEY (dataset, record)
    ) STRICT;

    -- What people answered, as last seen on a dataset; kept when the server no longer has it.
    CREATE TABLE responses (
        dataset TEXT NOT NULL,
        record TEXT NOT NULL,
        user_id TEXT NOT NULL,
        annotator TEXT NOT NULL,
        status TEXT NOT NULL,
        said TEXT,
        reason TEXT NOT NULL,
        updated_at TEXT NOT NULL,
        state TEXT NOT NULL,
        PRIMARY KEY (dataset, record, user_id)
    ) STRICT;
    """,
    """
    -- A teacher with one prompt and its parameters, as it was asked. Votes of a panel that the task
    -- no longer names (present = 0) are kept and do not count; imported votes have no panel.
    CREATE TABLE panels (
        teacher TEXT NOT NULL,
        prompt TEXT NOT NULL,
        model TEXT NOT NULL,
        digest TEXT NOT NULL,
        parameters TEXT NOT NULL,
        filled TEXT NOT NULL,
        present INTEGER NOT NULL,
        PRIMARY KEY (teacher, prompt)
    ) STRICT;

    -- The call behind an answer: tokens as the endpoint counted them, cost in US dollars at the
    -- day's price, latency in seconds, NULL where nobody knows.
    CREATE TABLE calls (
        answer INTEGER PRIMARY KEY REFERENCES answers (seq),
        raw TEXT NOT NULL,
        rung TEXT NOT NULL,
        finish TEXT NOT NULL,
        structured TEXT NOT NULL,
        tokens_in INTEGER,
        tokens_out INTEGER,
        cost REAL,
        latency REAL NOT NULL,
        attempts INTEGER NOT NULL,
        probability REAL
    ) STRICT;

    CREATE TRIGGER calls_stay BEFORE UPDATE ON calls
    BEGIN SELECT RAISE(ABORT, 'the ledger of calls is append-only'); END;
    CREATE TRIGGER calls_remain BEFORE DELETE ON calls
    BEGIN SELECT RAISE(ABORT, 'the ledger of calls is append-only'); END;

    -- Where a panel was not asked for all its votes, because the majority could no longer change.
    CREATE TABLE early_stops (
        record TEXT NOT NULL REFERENCES records (id),
        teacher TEXT NOT NULL,
        prompt TEXT NOT NULL,
        votes INTEGER NOT NULL,
        saved INTEGER NOT NULL,
        at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
        PRIMARY KEY (record, teacher, prompt, votes)
    ) STRICT;

    -- What an endpoint was found to take for a model, as JSON.
    CREATE TABLE dialects (
        base_url TEXT NOT NULL,
        model TEXT NOT NULL,
        dialect TEXT NOT NULL,
        PRIMARY KEY (base_url, model)
    ) STRICT;
    """,
    """
    -- What each dataset on an Argilla server showed people as suggestion for a record, and from when:
    -- a row for each change. A label of NULL: nothing was suggested.
    CREATE TABLE shown (
        seq INTEGER PRIMARY KEY,
        dataset TEXT NOT NULL,
        record TEXT NOT NULL REFERENCES records (id),
        label TEXT,
        reason TEXT NOT NULL,
        score REAL,
        agent TEXT NOT NULL,
        since TEXT NOT NULL
    ) STRICT;
    CREATE INDEX shown_of_record ON shown (dataset, record, seq);

    CREATE TRIGGER shown_stays BEFORE UPDATE ON shown
    BEGIN SELECT RAISE(ABORT, 'the ledger of what was shown is append-only'); END;
    CREATE TRIGGER shown_remains BEFORE DELETE ON shown
    BEGIN SELECT RAISE(ABORT, 'the ledger of what was shown is append-only'); END;
    """,
    """
    -- The text of each record as a key: texts that are equal have the same. own = 0 where the record's id
    -- was made of that key, because its source had no ids. Filled by the first load that needs it.
    CREATE TABLE text_keys (
        record INTEGER PRIMARY KEY REFERENCES records (seq),
        key TEXT NOT NULL,
        own INTEGER NOT NULL
    ) STRICT;
    CREATE INDEX text_keys_in_order ON text_keys (key, record);
    CREATE INDEX text_keys_with_own_ids ON text_keys (key, record) WHERE own = 1;

    -- Ids under which a source named a text that was known under another id.
    CREATE TABLE other_ids (
        id TEXT PRIMARY KEY,
        record INTEGER NOT NULL REFERENCES records (seq)
    ) STRICT;
    CREATE INDEX other_ids_of_record ON other_ids (record);

    -- What each load added, so that the last one can be undone. pushes: a hash of what Argilla had been
    -- sent when it began; snapshots: those that were there, as JSON; rejects: the size of rejects.jsonl.
    CREATE TABLE loads (
        seq INTEGER PRIMARY KEY,
        source TEXT NOT NULL,
        columns TEXT NOT NULL,
        at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
        pushes TEXT NOT NULL,
        snapshots TEXT NOT NULL,
        rejects INTEGER NOT NULL,
        gold INTEGER NOT NULL DEFAULT 0,
        finished TEXT,
        withdrawn TEXT
    ) STRICT;
    CREATE TABLE load_batches (
        load INTEGER NOT NULL REFERENCES loads (seq),
        records_after INTEGER NOT NULL,
        records_to INTEGER NOT NULL,
        answers_after INTEGER NOT NULL,
        answers_to INTEGER NOT NULL
    ) STRICT;
    CREATE TABLE load_givens (load INTEGER NOT NULL REFERENCES loads (seq), record INTEGER NOT NULL) STRICT;
    CREATE TABLE load_ids (load INTEGER NOT NULL REFERENCES loads (seq), id TEXT NOT NULL) STRICT;

    -- What a load that was undone had added. An answer leaves the ledger for this table only, and
    -- only while its load is withdrawn; nothing leaves this one.
    CREATE TABLE withdrawn_records (
        load INTEGER NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL, given TEXT
    ) STRICT;
    CREATE TABLE withdrawn_answers (
        record TEXT NOT NULL,
        teacher TEXT NOT NULL,
        prompt TEXT NOT NULL,
        vote INTEGER NOT NULL,
        said TEXT NOT NULL,
        reason TEXT NOT NULL,
        at TEXT NOT NULL
    ) STRICT;
    CREATE TRIGGER withdrawn_answers_stay BEFORE UPDATE ON withdrawn_answers
    BEGIN SELECT RAISE(ABORT, 'the ledger of answers is append-only'); END;
    CREATE TRIGGER withdrawn_answers_remain BEFORE DELETE ON withdrawn_answers
    BEGIN SELECT RAISE(ABORT, 'the ledger of answers is append-only'); END;

    DROP TRIGGER answers_remain;
    CREATE TRIGGER answers_remain BEFORE DELETE ON answers
    WHEN NOT EXISTS (
        SELECT 1 FROM load_batches b JOIN loads l ON l.seq = b.load
        WHERE l.withdrawn IS NOT NULL AND OLD.seq > b.answers_after AND OLD.seq <= b.answers_to
    )
    BEGIN SELECT RAISE(ABORT, 'the ledger of answers is append-only'); END;
    CREATE TRIGGER answers_are_kept AFTER DELETE ON answers
    BEGIN
        INSERT INTO withdrawn_answers
        VALUES (OLD.record, OLD.teacher, OLD.prompt, OLD.vote, OLD.said, OLD.reason, OLD.at);
    END;
    """,
    """
    -- What answers belong to: the datasets on Argilla servers by their uuid, and 'file', for those that came in a
    -- file. Each has a role; the one of a role that was used last (the highest seq) is the current one.
    CREATE TABLE datasets (
        seq INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        role TEXT NOT NULL
    ) STRICT;
    INSERT INTO datasets (id, role) SELECT dataset, 'queue' FROM responses
    WHERE dataset NOT IN (SELECT dataset FROM pushed) GROUP BY dataset ORDER BY dataset;
    INSERT INTO datasets (id, role) SELECT dataset, 'queue' FROM pushed GROUP BY dataset ORDER BY max(rowid);
    """,
    """
    -- Among whom the queue is dealt: a row for each deal, of which the newest counts. people: names, as a JSON
    -- list. overlap: the share of the records that go to several people.
    CREATE TABLE deals (
        seq INTEGER PRIMARY KEY,
        people TEXT NOT NULL,
        overlap REAL NOT NULL,
        at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
    ) STRICT;

    -- Whose a record is: a row for each person that it was dealt to.
    CREATE TABLE dealt (
        seq INTEGER PRIMARY KEY,
        record TEXT NOT NULL REFERENCES records (id),
        annotator TEXT NOT NULL,
        UNIQUE (record, annotator)
    ) STRICT;
    """,
    """
    -- The label that a student, which never trained on its text, suggests for a record without votes.
    CREATE TABLE proposals (
        record TEXT PRIMARY KEY REFERENCES records (id) ON DELETE CASCADE,
        student TEXT NOT NULL,
        label TEXT NOT NULL
    ) STRICT;
    """,
    """
    -- What an endpoint sent, byte for byte, before anything read it: a row for each attempt that got a reply.
    -- body: compressed with zlib, as log probabilities take ten times the answer.
    -- structured: the type of response_format that was asked for; latency in seconds.
    CREATE TABLE replies (
        seq INTEGER PRIMARY KEY,
        record TEXT NOT NULL REFERENCES records (id),
        teacher TEXT NOT NULL,
        prompt TEXT NOT NULL,
        vote INTEGER NOT NULL,
        attempt INTEGER NOT NULL,
        body BLOB NOT NULL,
        structured TEXT NOT NULL,
        latency REAL NOT NULL,
        at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ')),
        UNIQUE (record, teacher, prompt, vote, attempt)
    ) STRICT;

    CREATE TRIGGER replies_stay BEFORE UPDATE ON replies
    BEGIN SELECT RAISE(ABORT, 'the ledger of replies is append-only'); END;
    CREATE TRIGGER replies_remain BEFORE DELETE ON replies
    BEGIN SELECT RAISE(ABORT, 'the ledger of replies is append-only'); END;

    -- How a stored answer is read now, where that is not how it was read when it came. It can be made anew
    -- at any time from the reply and the parser.
    CREATE TABLE readings (
        answer INTEGER PRIMARY KEY REFERENCES answers (seq),
        parser TEXT NOT NULL,
        said TEXT NOT NULL,
        reason TEXT NOT NULL,
        rung TEXT NOT NULL
    ) STRICT;

    -- The parser, and the task's spellings of labels, that all answers of a panel were last read with.
    CREATE TABLE read_with (
        teacher TEXT NOT NULL,
        prompt TEXT NOT NULL,
        parser TEXT NOT NULL,
        PRIMARY KEY (teacher, prompt)
    ) STRICT;
    """,
    """
    -- Votes that are asked for anew, a row for each time. after: the number of the vote's last attempt by then.
    CREATE TABLE askings (
        seq INTEGER PRIMARY KEY,
        answer INTEGER NOT NULL REFERENCES answers (seq),
        after INTEGER NOT NULL,
        at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
    ) STRICT;
    CREATE INDEX askings_of_answer ON askings (answer, seq);

    -- The call that answered such an asking; the vote is read in the last one, and the first ones stay.
    CREATE TABLE further_calls (
        asking INTEGER PRIMARY KEY REFERENCES askings (seq),
        answer INTEGER NOT NULL REFERENCES answers (seq),
        raw TEXT NOT NULL,
        rung TEXT NOT NULL,
        finish TEXT NOT NULL,
        structured TEXT NOT NULL,
        tokens_in INTEGER,
        tokens_out INTEGER,
        cost REAL,
        latency REAL NOT NULL,
        attempts INTEGER NOT NULL,
        probability REAL
    ) STRICT;
    CREATE INDEX further_calls_of_answer ON further_calls (answer, asking);

    CREATE TRIGGER further_calls_stay BEFORE UPDATE ON further_calls
    BEGIN SELECT RAISE(ABORT, 'the ledger of calls is append-only'); END;
    CREATE TRIGGER further_calls_remain BEFORE DELETE ON further_calls
    BEGIN SELECT RAISE(ABORT, 'the ledger of calls is append-only'); END;

    CREATE VIEW every_call AS
    SELECT answer, tokens_in, tokens_out, cost, latency FROM calls
    UNION ALL SELECT answer, tokens_in, tokens_out, cost, latency FROM further_calls;
    """,
    """
    -- What each ranking was made of, of which the newest counts. student_worth: 0 to 1, NULL where the method does
    -- not ask for it. reviewed, wrong: the reviewed suggestions that it learned from.
    CREATE TABLE rankings (
        seq INTEGER PRIMARY KEY,
        method TEXT NOT NULL,
        student_worth REAL,
        reviewed INTEGER NOT NULL,
        wrong INTEGER NOT NULL,
        at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ'))
    ) STRICT;

    -- How much a voter's votes count in a consensus; the mean is 1, and a voter without a row counts 1.
    CREATE TABLE voter_weights (
        teacher TEXT NOT NULL,
        prompt TEXT NOT NULL,
        vote INTEGER NOT NULL,
        weight REAL NOT NULL,
        PRIMARY KEY (teacher, prompt, vote)
    ) STRICT;
    """,
    """
    -- What speaks against the suggestion of a ranked record, as JSON: a list of pairs, kind and words; empty for none.
    ALTER TABLE ranks ADD COLUMN why TEXT NOT NULL DEFAULT '';
    """,
)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the schema up to date, each step in a transaction of its own.

    Raises
    ------
    LedgerError
        When the file was written by a newer tutelage.
    """
    if _version(connection) > len(STEPS):
        raise LedgerError(
            f"task.db has schema {_version(connection)}, this version supports up to {len(STEPS)}; upgrade tutelage"
        )
    while _version(connection) < len(STEPS):
        connection.execute("BEGIN IMMEDIATE")
        version = _version(connection)  # another process may have been faster
        if version < len(STEPS):
            for statement in _statements(STEPS[version]):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {version + 1}")
        connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _statements(script: str) -> list[str]:
    """The script's statements; ``executescript`` would commit between them."""
    statements, statement = [], ""
    for line in script.splitlines():
        statement += line + "\n"
        if sqlite3.complete_statement(statement):
            statements.append(statement)
            statement = ""
    return statements

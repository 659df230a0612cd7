-- TEXT, BIGINT and BLOB only: the types that every database behind the store
-- has. Times are microseconds since 1970 UTC, ids and JSON documents text.

CREATE TABLE meta (
    name TEXT PRIMARY KEY NOT NULL,
    value BLOB NOT NULL
);

CREATE TABLE people (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE agents (
    id TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL UNIQUE,
    key_hash BLOB NOT NULL UNIQUE,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT
);

-- One row for one cookie as a browser tells cookies apart. `sealed` is null
-- once the site has taken the cookie away.
CREATE TABLE credentials (
    id TEXT PRIMARY KEY NOT NULL,
    person TEXT NOT NULL REFERENCES people (id),
    name TEXT NOT NULL,
    domain TEXT NOT NULL,
    host_only BIGINT NOT NULL,
    path TEXT NOT NULL,
    partition_key TEXT NOT NULL,
    attributes TEXT NOT NULL,
    sealed BLOB,
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (person, name, domain, host_only, path, partition_key)
);

-- `document` says everything; the other columns repeat what is asked for.
CREATE TABLE delegations (
    id TEXT PRIMARY KEY NOT NULL,
    agent TEXT NOT NULL REFERENCES agents (id),
    lender TEXT NOT NULL REFERENCES people (id),
    status TEXT NOT NULL,
    window_start BIGINT NOT NULL,
    window_end BIGINT NOT NULL,
    document TEXT NOT NULL,
    revision BIGINT NOT NULL
);
CREATE INDEX delegations_by_agent ON delegations (agent, id);
CREATE INDEX delegations_by_status ON delegations (status, window_end);

CREATE TABLE traces (
    id TEXT PRIMARY KEY NOT NULL,
    kind TEXT NOT NULL,
    session TEXT,
    created_at BIGINT NOT NULL,
    ended_at BIGINT,
    records BIGINT NOT NULL,
    head TEXT NOT NULL,
    complete BIGINT NOT NULL
);

CREATE TABLE sessions (
    id TEXT PRIMARY KEY NOT NULL,
    agent TEXT NOT NULL REFERENCES agents (id),
    trace TEXT NOT NULL REFERENCES traces (id),
    status TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    reason TEXT
);
CREATE INDEX sessions_by_agent ON sessions (agent, id);
CREATE INDEX sessions_by_status ON sessions (status);

CREATE TABLE session_delegations (
    session TEXT NOT NULL REFERENCES sessions (id),
    delegation TEXT NOT NULL REFERENCES delegations (id),
    PRIMARY KEY (session, delegation)
);

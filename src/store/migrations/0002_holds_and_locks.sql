-- A request that waited for a person. What it carried is never stored.
CREATE TABLE holds (
    id TEXT PRIMARY KEY NOT NULL,
    session TEXT NOT NULL REFERENCES sessions (id),
    agent TEXT NOT NULL REFERENCES agents (id),
    delegation TEXT NOT NULL REFERENCES delegations (id),
    opened_at BIGINT NOT NULL,
    ended_at BIGINT,
    how TEXT
);
CREATE INDEX holds_by_end ON holds (ended_at, id);

-- A stop on an agent, a person or an origin.
CREATE TABLE locks (
    id TEXT PRIMARY KEY NOT NULL,
    document TEXT NOT NULL,
    set_at BIGINT NOT NULL,
    lifted_at BIGINT
);

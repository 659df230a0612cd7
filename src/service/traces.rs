//! Traces: listing, reading, verifying. Reading one is itself on record.

use serde_json::Value;

use super::{Answer, CallError, Caller, Service, TraceInfo, TraceVerdict, person};
use crate::{model::id::TraceId, store::StoredTrace};

impl Service {
    /// Traces, newest first. Persons only.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn trace_list(&self, caller: Caller) -> Answer<Vec<TraceInfo>> {
        self.noted(caller, "trace list", async {
            person(caller)?;
            let traces = self.store.trace_list().await?.into_iter();
            Ok(traces.map(|trace| view(self.current(trace))).collect())
        })
        .await
    }

    /// The records of a trace in order, as JSON objects, up to the first that
    /// does not verify. Persons only.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn trace_records(&self, caller: Caller, id: TraceId) -> Answer<Vec<Value>> {
        self.noted(caller, "trace records", async {
            person(caller)?;
            let trace = self.trace_known(id).await?;
            self.registry(caller, "trace-read", &id, "").await?;
            let trace = self.flushed(trace).await;
            self.ledger.records(&trace).await
        })
        .await
    }

    /// Verifies a trace against itself and against the head stored apart from
    /// it. Persons only.
    ///
    /// # Errors
    /// See [`CallError`]; that a trace is not intact is no error.
    pub async fn trace_verify(&self, caller: Caller, id: TraceId) -> Answer<TraceVerdict> {
        self.noted(caller, "trace verify", async {
            person(caller)?;
            let trace = self.trace_known(id).await?;
            self.registry(caller, "trace-verified", &id, "").await?;
            let trace = self.flushed(trace).await;
            self.ledger.verify(&trace).await
        })
        .await
    }

    async fn trace_known(&self, id: TraceId) -> Answer<StoredTrace> {
        let found = self.store.trace_get(id).await?;
        found
            .map(|trace| self.current(trace))
            .ok_or_else(|| CallError::not_found("trace", &id))
    }

    // Who reads sees what was done before, also of a session that goes on.
    async fn flushed(&self, trace: StoredTrace) -> StoredTrace {
        if let Some(session) = trace.session {
            self.sessions.flush(session).await;
        }
        self.current(trace)
    }

    // The head in memory is further than the stored one between two rounds of
    // the reconciler.
    fn current(&self, trace: StoredTrace) -> StoredTrace {
        let head = self.ledger.head(trace.id);
        StoredTrace {
            head: head
                .filter(|head| head.records >= trace.head.records)
                .unwrap_or(trace.head),
            ..trace
        }
    }
}

fn view(trace: StoredTrace) -> TraceInfo {
    TraceInfo {
        id: trace.id,
        kind: trace.kind,
        session: trace.session,
        created_at: trace.created_at,
        ended_at: trace.ended_at,
        records: trace.head.records,
        head: String::from(trace.head.hash),
    }
}

//! Who may call what. A method that takes a caller and is not in the table
//! fails the test.

use super::*;
use crate::{
    model::{
        action::{Class, Destination},
        body::Content,
        hold::{Hold, HoldAnswer},
        id::{CredentialId, HoldId, LockId, TraceId},
    },
    session::DOWNLOAD,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum May {
    /// It may.
    Yes,
    /// It may not, and is told so.
    No,
    /// For this caller the thing does not exist.
    Hidden,
}

use May::{Hidden, No, Yes};

/// Method; a person; the agent whose thing it is; another agent.
const TABLE: [(&str, May, May, May); 33] = [
    ("agent_add", Yes, No, No),
    ("agent_list", Yes, No, No),
    ("agent_disable", Yes, No, No),
    ("credential_import", Yes, No, No),
    ("credential_list", Yes, No, No),
    ("credential_remove", Yes, No, No),
    ("delegation_request", Yes, Yes, No),
    ("delegation_approve", Yes, No, No),
    ("delegation_deny", Yes, No, No),
    ("delegation_revoke", Yes, No, No),
    ("delegation_complete", Yes, Yes, Hidden),
    ("delegation_list", Yes, Yes, No),
    ("delegation_show", Yes, Yes, Hidden),
    ("session_start", Yes, Yes, No),
    ("session_bind", Yes, Yes, Hidden),
    ("session_list", Yes, Yes, Yes),
    ("session_show", Yes, Yes, Hidden),
    ("session_end", Yes, Yes, Hidden),
    ("session_upload", Yes, Yes, Hidden),
    ("session_downloads", Yes, Yes, Hidden),
    ("session_download", Yes, Yes, Hidden),
    ("session_share", Yes, Yes, Hidden),
    ("session_explain", Yes, Yes, Hidden),
    ("hold_list", Yes, Yes, Yes),
    ("hold_show", Yes, Yes, Hidden),
    ("hold_answer", Yes, No, No),
    ("lock_set", Yes, No, No),
    ("lock_lift", Yes, No, No),
    ("lock_list", Yes, No, No),
    ("trace_list", Yes, No, No),
    ("trace_records", Yes, No, No),
    ("trace_verify", Yes, No, No),
    // Not a use case: puts a refusal of the surface on record.
    ("call_refused", Yes, Yes, Yes),
];

const SOURCES: [&str; 12] = [
    include_str!("../mod.rs"),
    include_str!("../agents.rs"),
    include_str!("../approvals.rs"),
    include_str!("../closing.rs"),
    include_str!("../credentials.rs"),
    include_str!("../delegations.rs"),
    include_str!("../files.rs"),
    include_str!("../holds.rs"),
    include_str!("../locks.rs"),
    include_str!("../sessions.rs"),
    include_str!("../traces.rs"),
    include_str!("../identity.rs"),
];

/// What there is to be called upon, all of it the first agent's.
struct Things {
    agent: AgentRef,
    requested: DelegationId,
    granted: DelegationId,
    session: SessionId,
    credential: CredentialId,
    trace: TraceId,
    hold: HoldId,
    lock: LockId,
}

#[test]
fn every_method_that_takes_a_caller_is_in_the_table() {
    let mut found = 0;
    for source in SOURCES {
        for method in source.split("    pub async fn ").skip(1) {
            let (head, _) = method.split_once('{').unwrap();
            let (name, _) = head.split_once('(').unwrap();
            if head.contains("Caller") && name != "authenticate" {
                assert!(
                    TABLE.iter().any(|row| row.0 == name),
                    "`{name}` is not in the table"
                );
                found += 1;
            }
        }
    }
    assert_eq!(found, TABLE.len());
    // No file with use cases is left out above.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/service");
    let files = fs::read_dir(folder).unwrap().filter(|entry| {
        let path = entry.as_ref().unwrap().path();
        path.is_file()
            && fs::read_to_string(path)
                .unwrap()
                .contains("    pub async fn ")
    });
    // These have methods that nobody calls on behalf of a caller.
    let others = [
        include_str!("../open.rs"),
        include_str!("../policies.rs"),
        include_str!("../reconciler.rs"),
    ];
    assert_eq!(files.count(), SOURCES.len() + others.len());
    for source in others {
        assert!(!source.contains("Caller"));
    }
}

#[tokio::test]
async fn each_caller_may_do_what_the_table_says() {
    for (method, person, own, other) in TABLE {
        let broker = Broker::start().await;
        let credential = broker.import(VALUE).await.id;
        let owner = broker.agent("owner").await;
        let stranger = broker.agent("stranger").await;
        let Caller::Agent { id } = owner else {
            unreachable!()
        };
        let asked = broker
            .service
            .delegation_request(owner, ask())
            .await
            .unwrap();
        let granted = broker.granted(owner).await.delegation.id;
        let session = broker.session(owner, &[granted]).await;
        let hold = held(id, session, granted, broker.service.operator());
        broker.service.sessions.holds().put(hold.clone());
        let elsewhere = NewLock {
            origin: Some("https://elsewhere.test".parse().unwrap()),
            reason: "under attack".into(),
            ..NewLock::default()
        };
        let lock = broker.service.lock_set(broker.person(), elsewhere);
        let things = Things {
            agent: id.into(),
            requested: asked.delegation.id,
            granted,
            session,
            credential,
            trace: broker.service.ledger.trace(),
            hold: hold.id,
            lock: lock.await.unwrap().id,
        };
        // The person comes last: what a person may do changes things.
        for (caller, expected) in [(stranger, other), (owner, own), (broker.person(), person)] {
            let before = broker.records().await.len();
            let answer = call(&broker, method, caller, &things).await;
            let told = match &answer {
                Ok(()) => Yes,
                Err(CallError::Forbidden(_)) => No,
                Err(CallError::NotFound { .. }) => Hidden,
                Err(error) => panic!("{method} as {caller:?}: {error}"),
            };
            assert_eq!(told, expected, "{method} as {caller:?}");
            let records = broker.records().await;
            let refused = types(&records[before..]).contains(&"call-refused");
            assert_eq!(refused, told != Yes || method == "call_refused", "{method}");
        }
    }
}

#[expect(clippy::too_many_lines, reason = "one arm for each method")]
async fn call(broker: &Broker, method: &str, caller: Caller, on: &Things) -> Answer<()> {
    let service = &broker.service;
    let person = matches!(caller, Caller::Person { .. });
    match method {
        "agent_add" => service.agent_add(caller, "new").await.map(drop),
        "agent_list" => service.agent_list(caller).await.map(drop),
        "agent_disable" => service.agent_disable(caller, &on.agent).await.map(drop),
        "credential_import" => {
            let file = b"[]".as_slice();
            service
                .credential_import(caller, "json", file)
                .await
                .map(drop)
        }
        "credential_list" => service.credential_list(caller).await.map(drop),
        "credential_remove" => service.credential_remove(caller, on.credential).await,
        "delegation_request" => {
            let new = NewDelegation {
                agent: Some(on.agent.clone()),
                ..ask()
            };
            service.delegation_request(caller, new).await.map(drop)
        }
        "delegation_approve" => service
            .delegation_approve(caller, on.requested, None)
            .await
            .map(drop),
        "delegation_deny" => service
            .delegation_deny(caller, on.requested)
            .await
            .map(drop),
        "delegation_revoke" => service
            .delegation_revoke(caller, on.granted)
            .await
            .map(drop),
        "delegation_complete" => service
            .delegation_complete(caller, on.requested)
            .await
            .map(drop),
        "delegation_list" => {
            let filter = DelegationFilter {
                agent: Some(on.agent.clone()),
                phase: None,
            };
            service.delegation_list(caller, &filter).await.map(drop)
        }
        "delegation_show" => service.delegation_show(caller, on.granted).await.map(drop),
        "session_start" => {
            let bound = [on.granted];
            service
                .session_start(caller, Some(&on.agent), &bound)
                .await
                .map(drop)
        }
        "session_bind" => service
            .session_bind(caller, on.session, on.requested)
            .await
            .map(drop),
        "session_list" => {
            let seen = service.session_list(caller).await?;
            let owns = AgentRef::from(seen.first().map_or_else(|| on_none(caller), |s| s.agent));
            assert_eq!(!seen.is_empty(), person || owns == on.agent);
            Ok(())
        }
        "session_show" => service.session_show(caller, on.session).await.map(drop),
        "session_end" => service.session_end(caller, on.session).await.map(drop),
        "session_upload" => {
            let bytes = bytes::Bytes::from_static(b"x");
            service
                .session_upload(caller, on.session, "a", None, bytes)
                .await
                .map(drop)
        }
        "session_downloads" => service
            .session_downloads(caller, on.session)
            .await
            .map(drop),
        "session_download" => service
            .session_download(caller, on.session, DOWNLOAD)
            .await
            .map(drop),
        "session_share" => service.session_share(caller, on.session).await.map(drop),
        "session_explain" => {
            let words = "to close the ticket";
            service.session_explain(caller, on.session, words).await
        }
        "hold_list" => {
            let seen = service.hold_list(caller).await?;
            let mut owners = seen.iter().map(|hold| AgentRef::from(hold.agent));
            let owns = matches!(caller, Caller::Agent { id } if AgentRef::from(id) == on.agent);
            assert_eq!(owners.any(|agent| agent == on.agent), person || owns);
            Ok(())
        }
        "hold_show" => service.hold_show(caller, on.hold).await.map(drop),
        "hold_answer" => service
            .hold_answer(caller, on.hold, HoldAnswer::Once, false)
            .await
            .map(drop),
        "lock_set" => {
            let new = NewLock {
                agent: Some(on.agent.clone()),
                reason: "it misbehaves".into(),
                ..NewLock::default()
            };
            service.lock_set(caller, new).await.map(drop)
        }
        "lock_lift" => service.lock_lift(caller, on.lock).await.map(drop),
        "lock_list" => service.lock_list(caller, false).await.map(drop),
        "trace_list" => service.trace_list(caller).await.map(drop),
        "trace_records" => service.trace_records(caller, on.trace).await.map(drop),
        "trace_verify" => service.trace_verify(caller, on.trace).await.map(drop),
        "call_refused" => {
            let error = CallError::Unauthenticated;
            service
                .call_refused(Some(caller), "GET /v1/x", &error)
                .await
        }
        _ => panic!("`{method}` is in the table but is not called"),
    }
}

/// A request that waits.
fn held(agent: AgentId, session: SessionId, delegation: DelegationId, lender: PersonId) -> Hold {
    Hold {
        id: HoldId::from_uuid(uuid::Uuid::from_u128(7)),
        session,
        agent,
        delegation,
        lender,
        class: Class::Write,
        method: "POST".into(),
        url: "https://app.example.com/tickets/7".into(),
        destination: Destination::Page,
        body: Content::Empty,
        body_size: 0,
        page: None,
        cause: None,
        agent_says: None,
        policies: Vec::new(),
        says: "it waits".into(),
        rule: None,
        opened_at: Timestamp(0),
        deadline: Timestamp(i64::MAX / 4096),
        waiting: true,
    }
}

fn on_none(caller: Caller) -> AgentId {
    match caller {
        Caller::Agent { id } => id,
        Caller::Person { .. } => panic!("a person sees every session"),
    }
}

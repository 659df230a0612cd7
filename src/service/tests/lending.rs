//! From request to revocation, and what is on record of it.

use super::*;
use crate::{
    model::{
        delegation::{CloseReason, State},
        secret::Secret,
    },
    session::SessionEvent,
};

#[tokio::test]
async fn a_cookie_is_lent_for_a_while_and_taken_back() {
    let broker = Broker::start().await;
    let service = &broker.service;
    let credential = broker.import(VALUE).await;
    let agent = broker.agent("bot").await;

    let asked = service.delegation_request(agent, ask()).await.unwrap();
    assert_eq!(
        (asked.phase, asked.wanted.len(), asked.cookies.len()),
        (Phase::Requested, 1, 0)
    );
    let granted = service
        .delegation_approve(broker.person(), asked.delegation.id, None)
        .await
        .unwrap();
    assert_eq!(granted.phase, Phase::Open);
    assert_eq!(granted.cookies.first().unwrap().credential, credential.id);

    let id = granted.delegation.id;
    let started = service.session_start(agent, None, &[id]).await.unwrap();
    let session = started.session.id;
    assert_eq!(started.session.status, SessionStatus::Running);
    assert_eq!(
        started.http_url,
        format!("http://127.0.0.1:7411/v1/sessions/{session}")
    );
    assert_eq!(
        started.cdp_url,
        format!("ws://127.0.0.1:7411/v1/sessions/{session}/cdp")
    );
    let leases = service.sessions().leases(session);
    let lease = leases.first().unwrap();
    assert!(lease.is_open(service.now()));
    assert_eq!(lease.cookies.first().unwrap().value().expose(), VALUE);

    for _ in 0..2 {
        let revoked = service
            .delegation_revoke(broker.person(), id)
            .await
            .unwrap();
        assert_eq!(revoked.phase, Phase::Closed);
        assert_eq!(lease.closed(service.now()), Some(CloseReason::Revoked));
    }
    // Completing what was revoked does not make it completed.
    let closed = service.delegation_complete(agent, id).await.unwrap();
    assert!(matches!(
        closed.delegation.state,
        State::Closed {
            reason: CloseReason::Revoked,
            ..
        }
    ));
    assert!(matches!(
        service.session_start(agent, None, &[id]).await,
        Err(CallError::Conflict(_))
    ));

    service.reconcile().await.unwrap();
    let ended = service.session_show(agent, session).await.unwrap();
    assert_eq!(ended.status, SessionStatus::Ended);
    assert_eq!(ended.reason.as_deref(), Some("its last window closed"));

    let records = broker.records().await;
    let seen = types(&records);
    for kind in [
        "broker",
        "registry",
        "delegation-requested",
        "delegation-approved",
    ] {
        assert!(seen.contains(&kind), "{kind}");
    }
    let closings = seen.iter().filter(|kind| **kind == "delegation-closed");
    assert_eq!(closings.count(), 1);
    let approved = &records[seen
        .iter()
        .position(|k| *k == "delegation-approved")
        .unwrap()];
    assert_eq!(approved["actor"]["id"], service.operator().to_string());
    assert!(!format!("{records:?}").contains(VALUE));
    let verdict = service
        .trace_verify(broker.person(), service.ledger.trace())
        .await
        .unwrap();
    assert!(verdict.intact, "{verdict:?}");
}

#[tokio::test]
async fn values_are_nowhere_in_the_data_folder() {
    let broker = Broker::start().await;
    broker.import(VALUE).await;
    let agent = broker.agent("bot").await;
    let id = broker.granted(agent).await.delegation.id;
    broker.session(agent, &[id]).await;
    broker.service.shutdown().await;
    let mut left = vec![broker.folder.path().to_owned()];
    let mut files = 0;
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(
                fs::read_dir(path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        let found = bytes
            .windows(VALUE.len())
            .any(|part| part == VALUE.as_bytes());
        assert!(!found, "{}", path.display());
        files += 1;
    }
    assert!(files > 4);
}

#[tokio::test]
async fn windows_end_by_themselves() {
    let broker = Broker::start().await;
    broker.import(VALUE).await;
    let agent = broker.agent("bot").await;
    let id = broker.granted(agent).await.delegation.id;
    let asked = broker
        .service
        .delegation_request(agent, ask())
        .await
        .unwrap();
    let session = broker.session(agent, &[id]).await;
    assert_eq!(
        broker.service.reconcile().await.unwrap(),
        Some(Duration::from_mins(10))
    );
    broker.pass(599);
    broker.service.reconcile().await.unwrap();
    let open = broker.service.delegation_show(agent, id).await.unwrap();
    assert_eq!(open.phase, Phase::Open);
    broker.pass(1);
    // Shown as over even before the reconciler has been there.
    let over = broker.service.delegation_show(agent, id).await.unwrap();
    assert_eq!(over.phase, Phase::Closed);
    broker.service.reconcile().await.unwrap();
    for id in [id, asked.delegation.id] {
        let closed = broker.service.delegation_show(agent, id).await.unwrap();
        assert!(
            matches!(
                closed.delegation.state,
                State::Closed {
                    reason: CloseReason::Expired,
                    ..
                }
            ),
            "{closed:?}"
        );
    }
    let ended = broker.service.session_show(agent, session).await.unwrap();
    assert_eq!(ended.status, SessionStatus::Ended);
}

#[tokio::test]
async fn a_person_narrows_and_never_widens() {
    let broker = Broker::start().await;
    broker.import(VALUE).await;
    let agent = broker.agent("bot").await;
    let new = NewDelegation {
        scope: Scope::reading(vec![
            "https://app.example.com".parse().unwrap(),
            "https://docs.example.com".parse().unwrap(),
        ]),
        ..ask()
    };
    let asked = broker.service.delegation_request(agent, new).await.unwrap();
    let id = asked.delegation.id;
    let scope = |origin: &str| Some(Scope::reading(vec![origin.parse().unwrap()]));
    let seconds = |seconds| WindowAsk {
        duration: Some(Span::seconds(seconds)),
        ..WindowAsk::default()
    };
    for (narrow, field) in [
        (
            Narrow {
                scope: scope("https://other.example.com"),
                credentials: Some(vec![]),
                ..Narrow::default()
            },
            "scope",
        ),
        (
            Narrow {
                window: Some(seconds(601)),
                ..Narrow::default()
            },
            "window",
        ),
        (
            Narrow {
                scope: scope("https://docs.example.com"),
                ..Narrow::default()
            },
            "cookies",
        ),
        (
            Narrow {
                credentials: Some(vec!["crd_aaaaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap()]),
                ..Narrow::default()
            },
            "credentials",
        ),
    ] {
        let refused = broker
            .service
            .delegation_approve(broker.person(), id, Some(narrow.clone()))
            .await;
        let Err(CallError::Invalid { field: found, .. }) = refused else {
            panic!("{narrow:?}: {refused:?}");
        };
        assert_eq!(found, field, "{narrow:?}");
        let same = broker
            .service
            .delegation_show(broker.person(), id)
            .await
            .unwrap();
        assert_eq!((same.phase, same.revision), (Phase::Requested, 1));
    }
    let narrow = Narrow {
        scope: scope("https://docs.example.com"),
        window: Some(seconds(60)),
        credentials: Some(vec![]),
    };
    let granted = broker
        .service
        .delegation_approve(broker.person(), id, Some(narrow))
        .await
        .unwrap();
    let State::Approved { granted, .. } = granted.delegation.state else {
        panic!("{granted:?}");
    };
    assert_eq!(granted.credentials, vec![]);
    assert_eq!(
        granted.window.start.until(granted.window.end),
        Duration::from_mins(1)
    );
    // What was not granted is not told either.
    let seen = broker.service.delegation_show(agent, id).await.unwrap();
    assert_eq!(seen.delegation.requested.credentials, vec![]);
}

#[tokio::test]
async fn approval_reaches_the_running_session_that_waits_for_it() {
    let broker = Broker::start().await;
    broker.import(VALUE).await;
    let agent = broker.agent("bot").await;
    let session = broker.session(agent, &[]).await;
    broker.service.reconcile().await.unwrap();
    let asked = broker
        .service
        .delegation_request(agent, ask())
        .await
        .unwrap();
    let id = asked.delegation.id;
    assert!(matches!(
        broker.service.session_start(agent, None, &[id]).await,
        Err(CallError::Conflict(_))
    ));
    broker
        .service
        .session_bind(agent, session, id)
        .await
        .unwrap();
    assert!(broker.service.sessions().leases(session).is_empty());
    broker
        .service
        .delegation_approve(broker.person(), id, None)
        .await
        .unwrap();
    broker
        .service
        .session_bind(agent, session, id)
        .await
        .unwrap();
    assert_eq!(broker.service.sessions().leases(session).len(), 1);
    broker.service.delegation_complete(agent, id).await.unwrap();
    let leases = broker.service.sessions().leases(session);
    assert_eq!(
        leases.first().unwrap().closed(broker.service.now()),
        Some(CloseReason::Completed)
    );
}

#[tokio::test]
async fn a_new_value_keeps_the_id_and_reaches_running_leases() {
    let broker = Broker::start().await;
    let first = broker.import(VALUE).await;
    let agent = broker.agent("bot").await;
    let id = broker.granted(agent).await.delegation.id;
    let session = broker.session(agent, &[id]).await;
    let leases = broker.service.sessions().leases(session);
    let cookie = leases.first().unwrap().cookies.first().unwrap().clone();

    let second = broker.import("imported").await;
    assert_eq!((second.id, second.version), (first.id, 2));
    assert_eq!(cookie.value().expose(), "imported");

    broker.service.sessions().tell(SessionEvent::Rotated {
        credential: first.id,
        value: Some(Secret::new("rotated".into())),
        attributes: crate::model::cookie::CookieAttributes {
            domain: "evil.example".into(),
            expires: None,
            ..first.cookie.clone()
        },
    });
    broker.service.reconcile().await.unwrap();
    let stored = broker
        .service
        .store
        .credential_get(first.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        broker.service.unseal(&stored).unwrap().unwrap().expose(),
        "rotated"
    );
    assert_eq!((stored.info.version, stored.info.cookie.expires), (3, None));
    assert_eq!(stored.info.cookie.domain, first.cookie.domain);

    broker.service.sessions().tell(SessionEvent::Rotated {
        credential: first.id,
        value: None,
        attributes: first.cookie.clone(),
    });
    broker.service.reconcile().await.unwrap();
    let listed = broker
        .service
        .credential_list(broker.person())
        .await
        .unwrap();
    assert!(listed.first().unwrap().cleared);
    let refused = broker
        .service
        .session_start(agent, None, &[id])
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("import it anew"), "{refused}");
    assert!(!broker.import(VALUE).await.cleared);
}

#[tokio::test]
async fn removing_and_disabling_close_what_depends_on_them() {
    let broker = Broker::start().await;
    let credential = broker.import(VALUE).await;
    let agent = broker.agent("bot").await;
    let person = broker.person();
    let lent = broker.granted(agent).await.delegation.id;
    let bare = NewDelegation {
        cookies: vec![],
        ..ask()
    };
    let bare = broker
        .service
        .delegation_request(agent, bare)
        .await
        .unwrap()
        .delegation
        .id;
    broker
        .service
        .delegation_approve(person, bare, None)
        .await
        .unwrap();
    let session = broker.session(agent, &[lent, bare]).await;
    broker
        .service
        .credential_remove(person, credential.id)
        .await
        .unwrap();
    let now = broker.service.now();
    for lease in broker.service.sessions().leases(session) {
        let expected = (lease.delegation == lent).then_some(CloseReason::Revoked);
        assert_eq!(lease.closed(now), expected);
    }
    assert!(matches!(
        broker
            .service
            .credential_remove(person, credential.id)
            .await,
        Err(CallError::NotFound { .. })
    ));

    let leases = broker.service.sessions().leases(session);
    for _ in 0..2 {
        let disabled = broker
            .service
            .agent_disable(person, &AgentRef::Name("bot".into()))
            .await
            .unwrap();
        assert!(disabled.disabled_at.is_some());
    }
    assert!(leases.iter().all(|lease| lease.closed(now).is_some()));
    let ended = broker.service.session_show(person, session).await.unwrap();
    assert_eq!(ended.reason.as_deref(), Some("its agent was disabled"));
    let new = NewDelegation {
        agent: Some(AgentRef::Name("bot".into())),
        cookies: vec![],
        ..ask()
    };
    assert!(matches!(
        broker.service.delegation_request(person, new).await,
        Err(CallError::Conflict(_))
    ));
}

#[tokio::test]
async fn a_budget_is_one_for_all_sessions_and_is_not_had_again_after_a_restart() {
    let broker = Broker::start().await;
    broker.import(VALUE).await;
    let agent = broker.agent("worker").await;
    let mut new = ask();
    new.scope.budget.requests = Some(2);
    let asked = broker.service.delegation_request(agent, new).await.unwrap();
    let id = asked.delegation.id;
    broker
        .service
        .delegation_approve(broker.person(), id, None)
        .await
        .unwrap();
    let (one, other) = (
        broker.session(agent, &[id]).await,
        broker.session(agent, &[id]).await,
    );
    let lease = |session| broker.service.sessions.leases(session).remove(0);
    assert!(lease(one).spend_request(false));
    // Also where the first session is gone.
    broker.service.session_end(agent, one).await.unwrap();
    assert!(lease(other).spend_request(false));
    assert!(!lease(other).spend_request(false));

    let broker = broker.crash("boot-1").await;
    let found = broker.service.delegation_show(broker.person(), id).await;
    let state = found.unwrap().delegation.state;
    assert!(
        matches!(
            state,
            State::Closed {
                reason: CloseReason::Exhausted,
                ..
            }
        ),
        "{state:?}"
    );
}

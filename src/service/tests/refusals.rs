//! Bad input gets a clear error and changes nothing; one agent does not see
//! another's things; one kind of token never works in another's place.

use super::*;
use crate::{
    model::delegation::CloseReason,
    vault::token::{Token, TokenKind},
};

#[tokio::test]
async fn each_token_stands_for_its_own_kind_of_caller() {
    let broker = Broker::start().await;
    let service = &broker.service;
    let file = broker.folder.path().join("keys/operator.token");
    let operator = fs::read_to_string(&file).unwrap();
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(
        service.authenticate(operator.trim()).await,
        Ok(broker.person())
    );
    let (agent, key) = service.agent_add(broker.person(), "bot").await.unwrap();
    let caller = Caller::Agent { id: agent.id };
    assert_eq!(service.authenticate(key.expose()).await, Ok(caller));
    let session = service.session_start(caller, None, &[]).await.unwrap();
    let body = operator.trim().strip_prefix("hpo_").unwrap();
    for bad in [
        String::new(),
        operator.clone(),
        format!("hpa_{body}"),
        key.expose().replace("hpa_", "hpo_"),
        key.expose().replace("hpa_", "hps_"),
        session.token.expose().to_owned(),
        session.token.expose().replace("hps_", "hpa_"),
        Token::draw(TokenKind::Agent).unwrap().expose().to_owned(),
        Token::draw(TokenKind::Operator)
            .unwrap()
            .expose()
            .to_owned(),
    ] {
        assert_eq!(
            service.authenticate(&bad).await,
            Err(CallError::Unauthenticated)
        );
    }
    service
        .agent_disable(broker.person(), &agent.id.into())
        .await
        .unwrap();
    assert_eq!(
        service.authenticate(key.expose()).await,
        Err(CallError::Unauthenticated)
    );
}

#[tokio::test]
async fn an_agent_does_not_see_what_is_anothers() {
    let broker = Broker::start().await;
    let service = &broker.service;
    broker.import(VALUE).await;
    let (one, other) = (broker.agent("one").await, broker.agent("other").await);
    let id = broker.granted(one).await.delegation.id;
    let session = broker.session(one, &[id]).await;
    let foreign = service.delegation_show(other, id).await.unwrap_err();
    let unknown: DelegationId = "del_aaaaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap();
    let none = service.delegation_show(other, unknown).await.unwrap_err();
    // The same words but for the id: nothing is learnt.
    assert_eq!(
        foreign.to_string().replace(&id.to_string(), "ID"),
        none.to_string().replace(&unknown.to_string(), "ID")
    );
    assert!(
        service
            .delegation_list(other, &DelegationFilter::default())
            .await
            .unwrap()
            .is_empty()
    );
    assert!(service.session_list(other).await.unwrap().is_empty());
    assert!(matches!(
        service.session_start(other, None, &[id]).await,
        Err(CallError::NotFound { .. })
    ));
    let own = broker.session(other, &[]).await;
    assert!(matches!(
        service.session_bind(other, own, id).await,
        Err(CallError::NotFound { .. })
    ));
    // A person may start for either, but not one's delegation for the other.
    let Caller::Agent { id: other } = other else {
        unreachable!()
    };
    assert!(matches!(
        service
            .session_start(broker.person(), Some(&other.into()), &[id])
            .await,
        Err(CallError::Invalid {
            field: "delegations",
            ..
        })
    ));
    assert_eq!(service.sessions().leases(session).len(), 1);
}

#[tokio::test]
async fn an_agent_learns_nothing_of_the_credentials_by_asking() {
    let broker = Broker::start().await;
    let service = &broker.service;
    broker.import(VALUE).await;
    let agent = broker.agent("bot").await;
    let there = service.delegation_request(agent, ask()).await.unwrap();
    let new = NewDelegation {
        cookies: vec![named("nothing", "https://app.example.com")],
        ..ask()
    };
    let not_there = service.delegation_request(agent, new).await.unwrap();
    for info in [&there, &not_there] {
        assert_eq!(
            (
                info.cookies.len(),
                info.delegation.requested.credentials.len()
            ),
            (0, 0)
        );
    }
    // The approver is told, and may leave it out.
    let id = not_there.delegation.id;
    let refused = service
        .delegation_approve(broker.person(), id, None)
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("`nothing`"), "{refused}");
    let without = Narrow {
        credentials: Some(vec![]),
        ..Narrow::default()
    };
    service
        .delegation_approve(broker.person(), id, Some(without))
        .await
        .unwrap();
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn requests_that_cannot_be_are_refused_and_leave_nothing() {
    let broker = Broker::start().await;
    let service = &broker.service;
    let credential = broker.import(VALUE).await.id;
    let agent = broker.agent("bot").await;
    let person = broker.person();
    let by_id = vec![CookieRef::Credential {
        credential,
        delivery: Delivery::Wire,
    }];
    let both = vec![
        CookieRef::Credential {
            credential,
            delivery: Delivery::Wire,
        },
        CookieRef::Credential {
            credential,
            delivery: Delivery::Jar,
        },
    ];
    let elsewhere = Scope::reading(vec!["https://b.test".parse().unwrap()]);
    let bot = Some(AgentRef::Name("bot".into()));
    let for_bot = || NewDelegation {
        agent: bot.clone(),
        ..ask()
    };
    let seconds = |n| WindowAsk {
        duration: Some(Span::seconds(n)),
        ..WindowAsk::default()
    };
    for (caller, new, field) in [
        (
            agent,
            NewDelegation {
                purpose: " ".into(),
                ..ask()
            },
            "purpose",
        ),
        (
            agent,
            NewDelegation {
                purpose: "a\u{202e}b".into(),
                ..ask()
            },
            "purpose",
        ),
        (
            agent,
            NewDelegation {
                cookies: by_id.clone(),
                ..ask()
            },
            "cookies",
        ),
        (
            agent,
            NewDelegation {
                cookies: vec![named("sid", "https://b.test")],
                ..ask()
            },
            "cookies",
        ),
        (
            agent,
            NewDelegation {
                cookies: vec![named("a b", "https://app.example.com")],
                ..ask()
            },
            "cookies",
        ),
        (
            agent,
            NewDelegation {
                cookies: vec![named("sid", "https://app.example.com"); 65],
                ..ask()
            },
            "cookies",
        ),
        (
            agent,
            NewDelegation {
                scope: Scope {
                    origins: vec![],
                    ..ask().scope
                },
                ..ask()
            },
            "scope",
        ),
        (
            agent,
            NewDelegation {
                scope: Scope {
                    origins: vec!["https://app.example.com".parse().unwrap(); 65],
                    ..ask().scope
                },
                ..ask()
            },
            "scope",
        ),
        (
            agent,
            NewDelegation {
                window: seconds(8 * 3600 + 1),
                ..ask()
            },
            "window",
        ),
        (
            agent,
            NewDelegation {
                window: seconds(0),
                ..ask()
            },
            "window",
        ),
        (
            agent,
            NewDelegation {
                window: WindowAsk {
                    end: Some(Timestamp(1)),
                    ..WindowAsk::default()
                },
                ..ask()
            },
            "window",
        ),
        (
            agent,
            NewDelegation {
                lender: Some("per_aaaaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap()),
                ..ask()
            },
            "lender",
        ),
        (person, ask(), "agent"),
        (
            person,
            NewDelegation {
                cookies: vec![named("nothing", "https://app.example.com")],
                ..for_bot()
            },
            "cookies",
        ),
        (
            person,
            NewDelegation {
                cookies: by_id,
                scope: elsewhere,
                ..for_bot()
            },
            "cookies",
        ),
        (
            person,
            NewDelegation {
                cookies: both,
                ..for_bot()
            },
            "cookies",
        ),
        (
            person,
            NewDelegation {
                cookies: vec![CookieRef::Credential {
                    credential: "crd_aaaaaaaaaaaaaaaaaaaaaaaaaa".parse().unwrap(),
                    delivery: Delivery::Wire,
                }],
                ..for_bot()
            },
            "cookies",
        ),
    ] {
        let refused = service.delegation_request(caller, new.clone()).await;
        let Err(CallError::Invalid { field: found, .. }) = refused else {
            panic!("{new:?}: {refused:?}");
        };
        assert_eq!(found, field, "{new:?}");
    }
    let nobody = NewDelegation {
        agent: Some(AgentRef::Name("nobody".into())),
        ..ask()
    };
    assert!(matches!(
        service.delegation_request(person, nobody).await,
        Err(CallError::NotFound { what: "agent", .. })
    ));
    let none = service
        .delegation_list(person, &DelegationFilter::default())
        .await
        .unwrap();
    assert_eq!(none, vec![]);
}

#[tokio::test]
async fn decisions_are_made_once() {
    let broker = Broker::start().await;
    let service = &broker.service;
    broker.import(VALUE).await;
    let agent = broker.agent("bot").await;
    let person = broker.person();
    let id = broker.granted(agent).await.delegation.id;
    let again = service.delegation_approve(person, id, None).await;
    assert!(matches!(again, Err(CallError::Conflict(_))), "{again:?}");
    let deny = service.delegation_deny(person, id).await;
    assert!(matches!(deny, Err(CallError::Conflict(_))), "{deny:?}");
    let denied = service
        .delegation_request(agent, ask())
        .await
        .unwrap()
        .delegation
        .id;
    for _ in 0..2 {
        let info = service.delegation_deny(person, denied).await.unwrap();
        assert_eq!(info.phase, Phase::Closed);
    }
    let late = service.delegation_approve(person, denied, None).await;
    assert!(matches!(late, Err(CallError::Conflict(_))), "{late:?}");
    let shown = service.delegation_show(person, denied).await.unwrap();
    assert_eq!(shown.phase, Phase::Closed);
}

#[tokio::test]
async fn an_approval_that_loses_a_race_with_closing_lends_nothing() {
    let broker = Broker::start().await;
    let service = &broker.service;
    broker.import(VALUE).await;
    let agent = broker.agent("bot").await;
    let waiting = service
        .delegation_request(agent, ask())
        .await
        .unwrap()
        .delegation
        .id;
    // A revocation has cut, but has not stored yet.
    service.lending.close(waiting, CloseReason::Revoked);
    let refused = service
        .delegation_approve(broker.person(), waiting, None)
        .await;
    assert!(
        matches!(refused, Err(CallError::Conflict(_))),
        "{refused:?}"
    );

    let open = broker.granted(agent).await.delegation.id;
    service.lending.close(open, CloseReason::Revoked);
    let refused = service.session_start(agent, None, &[open]).await;
    assert!(
        matches!(refused, Err(CallError::Conflict(_))),
        "{refused:?}"
    );
    // The next round stores what was cut.
    service.reconcile().await.unwrap();
    for id in [waiting, open] {
        let closed = service.delegation_show(agent, id).await.unwrap();
        assert_eq!(closed.phase, Phase::Closed);
    }
}

#[tokio::test]
async fn names_are_checked_and_taken_once_and_limits_hold() {
    let broker = Broker::start().await;
    let service = &broker.service;
    let person = broker.person();
    for bad in ["", "A", "a b", "agt_aaaaaaaaaaaaaaaaaaaaaaaaaa"] {
        let refused = service.agent_add(person, bad).await;
        assert!(
            matches!(refused, Err(CallError::Invalid { field: "name", .. })),
            "{bad}"
        );
    }
    let agent = broker.agent("bot").await;
    assert!(matches!(
        service.agent_add(person, "bot").await,
        Err(CallError::Conflict(_))
    ));
    assert_eq!(service.agent_list(person).await.unwrap().len(), 1);

    let mut sessions = Vec::new();
    for _ in 0..service.config().session.max {
        sessions.push(broker.session(agent, &[]).await);
    }
    let full = service.session_start(agent, None, &[]).await;
    assert!(matches!(full, Err(CallError::Limit(_))), "{full:?}");
    service.session_end(agent, sessions[0]).await.unwrap();
    service.session_end(agent, sessions[0]).await.unwrap();
    broker.session(agent, &[]).await;

    for _ in 0..32 {
        service.delegation_request(agent, ask()).await.unwrap();
    }
    let full = service.delegation_request(agent, ask()).await;
    assert!(matches!(full, Err(CallError::Limit(_))), "{full:?}");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_imports_nothing() {
    let broker = Broker::start().await;
    let service = &broker.service;
    let person = broker.person();
    for (format, bytes, field) in [
        ("har", b"[]".as_slice(), "format"),
        ("json", b"{".as_slice(), "file"),
        ("cookies-txt", b"no cookies".as_slice(), "file"),
    ] {
        let refused = service.credential_import(person, format, bytes).await;
        let Err(CallError::Invalid { field: found, .. }) = refused else {
            panic!("{format}: {refused:?}");
        };
        assert_eq!(found, field);
    }
    let mixed =
        b"app.example.com\tFALSE\t/\tTRUE\t0\tsid\tvalue\nco.uk\tTRUE\t/\tTRUE\t0\tall\tvalue\n";
    let report = service
        .credential_import(person, "cookies-txt", mixed)
        .await
        .unwrap();
    assert_eq!((report.imported.len(), report.refused.len()), (1, 1));
    assert_eq!(service.credential_list(person).await.unwrap().len(), 1);
}

#[tokio::test]
async fn when_the_store_is_gone_nothing_is_allowed_and_what_is_revoked_stays_cut() {
    let broker = Broker::start().await;
    let service = &broker.service;
    broker.import(VALUE).await;
    let agent = broker.agent("bot").await;
    let id = broker.granted(agent).await.delegation.id;
    let session = broker.session(agent, &[id]).await;
    let leases = service.sessions().leases(session);
    service.ready().await.unwrap();
    service.store.close().await;
    let unavailable = |answer: Answer<()>| matches!(answer, Err(CallError::Unavailable(_)));
    assert!(unavailable(service.ready().await));
    assert!(unavailable(
        service.delegation_request(agent, ask()).await.map(drop)
    ));
    assert!(unavailable(
        service.close(Actor::Broker, id, CloseReason::Revoked).await
    ));
    assert_eq!(leases[0].closed(service.now()), Some(CloseReason::Revoked));
}

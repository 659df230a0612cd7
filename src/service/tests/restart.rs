//! What a restart, a crash and a reboot keep and close.

use super::*;
use crate::model::delegation::{CloseReason, State};

#[tokio::test]
async fn a_restart_keeps_what_was_granted_and_ends_sessions() {
    let broker = Broker::start().await;
    broker.import(VALUE).await;
    let agent = broker.agent("bot").await;
    let id = broker.granted(agent).await.delegation.id;
    let session = broker.session(agent, &[id]).await;
    let operator = broker.service.operator();
    let first_trace = broker.service.ledger.trace();
    let token = fs::read_to_string(broker.folder.path().join("keys/operator.token")).unwrap();

    let broker = broker.crash("boot-1").await;
    assert_eq!(broker.service.operator(), operator);
    assert_eq!(
        broker.service.authenticate(token.trim()).await,
        Ok(broker.person())
    );
    let kept = broker.service.delegation_show(agent, id).await.unwrap();
    assert_eq!(kept.phase, Phase::Open);
    let ended = broker.service.session_show(agent, session).await.unwrap();
    assert_eq!(ended.status, SessionStatus::Ended);
    assert_eq!(ended.reason.as_deref(), Some("the broker stopped"));
    // The value opens again with the same key.
    let session = broker.session(agent, &[id]).await;
    let leases = broker.service.sessions().leases(session);
    assert_eq!(leases[0].cookies[0].value().expose(), VALUE);
    let traces = broker.service.trace_list(broker.person()).await.unwrap();
    let first = traces.iter().find(|trace| trace.id == first_trace).unwrap();
    assert!(first.ended_at.is_some());
    let verdict = broker
        .service
        .trace_verify(broker.person(), first_trace)
        .await
        .unwrap();
    assert!(verdict.intact, "{verdict:?}");
}

#[tokio::test]
async fn a_reboot_closes_every_open_window() {
    let broker = Broker::start().await;
    broker.import(VALUE).await;
    let agent = broker.agent("bot").await;
    let id = broker.granted(agent).await.delegation.id;
    let asked = broker
        .service
        .delegation_request(agent, ask())
        .await
        .unwrap();
    let broker = broker.crash("boot-2").await;
    let closed = broker.service.delegation_show(agent, id).await.unwrap();
    assert!(matches!(
        closed.delegation.state,
        State::Closed {
            reason: CloseReason::Expired,
            ..
        }
    ));
    let waiting = broker
        .service
        .delegation_show(agent, asked.delegation.id)
        .await
        .unwrap();
    assert_eq!(waiting.phase, Phase::Requested);
}

#[tokio::test]
async fn what_a_crash_left_half_done_is_finished() {
    let broker = Broker::start().await;
    broker.import(VALUE).await;
    let agent = broker.agent("bot").await;
    let id = broker.granted(agent).await.delegation.id;
    let Caller::Agent { id: agent } = agent else {
        unreachable!()
    };
    // Disabled, and then the machine stopped before anything was closed.
    let now = broker.service.now().wall;
    broker
        .service
        .store
        .agent_disable(agent, now)
        .await
        .unwrap();
    let broker = broker.crash("boot-1").await;
    let closed = broker
        .service
        .delegation_show(broker.person(), id)
        .await
        .unwrap();
    assert!(matches!(
        closed.delegation.state,
        State::Closed {
            reason: CloseReason::Revoked,
            ..
        }
    ));
}

#[tokio::test]
async fn a_clean_stop_leaves_verified_traces() {
    let broker = Broker::start().await;
    let agent = broker.agent("bot").await;
    let session = broker.session(agent, &[]).await;
    let trace = broker.service.ledger.trace();
    let running = tokio::spawn(broker.service.clone().run_reconciler());
    broker.service.shutdown().await;
    running.await.unwrap();
    let Broker {
        service,
        clock,
        folder,
    } = broker;
    drop(service);
    let broker = Broker::open(folder, clock, "boot-1").await;
    let ended = broker.service.session_show(agent, session).await.unwrap();
    assert_eq!(ended.reason.as_deref(), Some("the broker stops"));
    let verdict = broker
        .service
        .trace_verify(broker.person(), trace)
        .await
        .unwrap();
    assert!(verdict.intact, "{verdict:?}");
    let records = broker
        .service
        .trace_records(broker.person(), trace)
        .await
        .unwrap();
    assert_eq!(records.last().unwrap()["event"]["what"], "stopping");
}

#[tokio::test]
async fn a_trace_that_was_cut_short_or_altered_does_not_verify() {
    let broker = Broker::start().await;
    broker.agent("bot").await;
    let trace = broker.service.ledger.trace();
    broker.service.shutdown().await;
    let Broker {
        service,
        clock,
        folder,
    } = broker;
    drop(service);
    let dir = folder.path().join("traces").join(trace.to_string());
    let segment = fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    let good = fs::read(&segment).unwrap();
    let mut altered = good.clone();
    let last = altered.len() - 1;
    altered[last] ^= 1;
    let broker = Broker::open(folder, clock, "boot-1").await;
    for bad in [&good[..good.len() - 40], altered.as_slice()] {
        fs::write(&segment, bad).unwrap();
        let verdict = broker
            .service
            .trace_verify(broker.person(), trace)
            .await
            .unwrap();
        assert!(!verdict.intact && verdict.problem.is_some(), "{verdict:?}");
    }
    fs::write(&segment, &good).unwrap();
    let verdict = broker
        .service
        .trace_verify(broker.person(), trace)
        .await
        .unwrap();
    assert!(verdict.intact, "{verdict:?}");
}

#[tokio::test]
async fn keys_that_are_gone_or_wrong_are_refused_and_never_made_anew() {
    let broker = Broker::start().await;
    broker.import(VALUE).await;
    broker.service.shutdown().await;
    let Broker {
        service,
        clock,
        folder,
    } = broker;
    drop(service);
    let key = folder.path().join("keys/vault.key");
    let good = fs::read(&key).unwrap();
    fs::remove_file(&key).unwrap();
    let refused = Broker::try_open(folder.path(), &clock, "boot-1")
        .await
        .unwrap_err();
    assert!(matches!(refused, OpenError::Vault(_)), "{refused}");
    assert!(!key.exists());
    crate::vault::WrappingKey::create(&key).unwrap();
    let refused = Broker::try_open(folder.path(), &clock, "boot-1")
        .await
        .unwrap_err();
    assert!(matches!(refused, OpenError::Vault(_)), "{refused}");
    fs::write(&key, good).unwrap();

    let token = folder.path().join("keys/operator.token");
    fs::write(&token, "hpa_something").unwrap();
    let refused = Broker::try_open(folder.path(), &clock, "boot-1")
        .await
        .unwrap_err();
    assert!(matches!(refused, OpenError::OperatorToken), "{refused}");
    assert!(!refused.to_string().contains("something"));
    fs::remove_file(&token).unwrap();
    Broker::try_open(folder.path(), &clock, "boot-1")
        .await
        .unwrap();
}

#[tokio::test]
async fn two_brokers_never_share_a_folder() {
    let broker = Broker::start().await;
    let refused = Broker::try_open(broker.folder.path(), &broker.clock, "boot-1")
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("another broker"), "{refused}");
}

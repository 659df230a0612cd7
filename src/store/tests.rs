//! Real files: who may read them, what is kept, and what is refused.

use std::{
    fs,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::Path,
};

use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::{
    model::{
        cookie::CookieAttributes,
        delegation::{CloseReason, Delegation, State, Terms, Window},
        id::{AgentId, CredentialId, DelegationId, PersonId, SessionId, TraceId},
        scope::Scope,
    },
    trace::chain::{Head, LineHash},
};

fn folder() -> TempDir {
    tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o700))
        .tempdir()
        .unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

async fn open(folder: &Path) -> (DataDir, Store) {
    let dir = DataDir::hold(folder).unwrap();
    let store = Store::open(&dir).await.unwrap();
    (dir, store)
}

fn uuid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn agent(n: u128) -> Agent {
    Agent {
        id: AgentId::from_uuid(uuid(n)),
        name: format!("agent-{n}"),
        created_at: Timestamp(1),
        disabled_at: None,
    }
}

fn credential(n: u128, person: PersonId) -> StoredCredential {
    StoredCredential {
        info: CredentialInfo {
            id: CredentialId::from_uuid(uuid(n)),
            person,
            cookie: CookieAttributes {
                name: "sid".into(),
                domain: "app.example.com".into(),
                host_only: true,
                path: "/".into(),
                secure: true,
                http_only: true,
                same_site: None,
                partition_key: None,
                expires: None,
            },
            version: 1,
            cleared: false,
            created_at: Timestamp(1),
            updated_at: Timestamp(1),
        },
        sealed: Some(vec![0, 255, 7]),
    }
}

fn delegation(n: u128, agent: AgentId, lender: PersonId) -> Delegation {
    Delegation {
        id: DelegationId::from_uuid(uuid(n)),
        agent,
        lender,
        purpose: "read one ticket".into(),
        requested_at: Timestamp(1),
        requested: Terms {
            scope: Scope::reading(vec!["https://app.example.com".parse().unwrap()]),
            window: Window {
                start: Timestamp(1),
                end: Timestamp(100),
            },
            credentials: vec![],
        },
        state: State::Requested,
    }
}

fn trace(n: u128, session: Option<SessionId>) -> StoredTrace {
    let id = TraceId::from_uuid(uuid(n));
    StoredTrace {
        id,
        kind: TraceKind::Session,
        session,
        created_at: Timestamp(1),
        ended_at: None,
        head: Head {
            trace: id,
            records: 0,
            hash: LineHash([1; 32]),
            ended: false,
        },
    }
}

#[tokio::test]
async fn folder_and_files_are_private_and_the_settings_hold() {
    let folder = folder();
    let path = folder.path().join("new/below");
    // As whoever is careful makes it; cells must be able to pass all the same.
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .unwrap();
    let (_dir, store) = open(&path).await;
    store
        .operator_insert(PersonId::from_uuid(uuid(1)), Timestamp(1))
        .await
        .unwrap();
    assert_eq!(mode(&path), 0o711);
    assert_eq!(mode(&path.join("keys")), 0o700);
    for file in ["hallpass.db", "hallpass.db-wal", "hallpass.db-shm"] {
        assert_eq!(mode(&path.join(file)), 0o600, "{file}");
    }
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(&store.pool)
        .await
        .unwrap();
    assert_eq!(journal, "wal");
    for (pragma, expected) in [
        ("PRAGMA synchronous", 2),
        ("PRAGMA foreign_keys", 1),
        ("PRAGMA busy_timeout", 5000),
    ] {
        let set: i64 = sqlx::query_scalar(pragma)
            .fetch_one(&store.pool)
            .await
            .unwrap();
        assert_eq!(set, expected, "{pragma}");
    }
    // An agent that is not there cannot have a delegation.
    let orphan = delegation(1, agent(9).id, PersonId::from_uuid(uuid(1)));
    assert!(store.delegation_insert(orphan, vec![]).await.is_err());
}

#[test]
fn a_folder_that_others_can_open_is_refused() {
    let folder = folder();
    for bad in [0o750, 0o705, 0o722] {
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(bad)).unwrap();
        let error = DataDir::hold(folder.path()).unwrap_err().to_string();
        assert!(error.contains("chmod go-rw"), "{error}");
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_refused_and_named() {
    let folder = folder();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below"), "/proc/hallpass".into()] {
        let error = DataDir::hold(&path).unwrap_err();
        assert!(matches!(error, DataDirError::Unusable { .. }), "{error}");
        assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        );
    }
}

#[test]
fn one_broker_holds_a_folder() {
    let folder = folder();
    let first = DataDir::hold(folder.path()).unwrap();
    assert!(matches!(
        DataDir::hold(folder.path()),
        Err(DataDirError::InUse(_))
    ));
    drop(first);
    DataDir::hold(folder.path()).unwrap();
}

#[test]
fn a_key_is_made_once_kept_and_refused_when_exposed() {
    let folder = folder();
    let dir = DataDir::hold(folder.path()).unwrap();
    let fresh = |text: &str| Ok(zeroize::Zeroizing::new(text.to_owned()));
    assert_eq!(*dir.key_text("k", || fresh("one")).unwrap(), "one");
    assert_eq!(*dir.key_text("k", || fresh("two")).unwrap(), "one");
    let path = folder.path().join("keys/k");
    assert_eq!(mode(&path), 0o600);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(matches!(
        dir.key_text("k", || fresh("three")),
        Err(DataDirError::Exposed { mode: 0o640, .. })
    ));
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_alone() {
    let folder = folder();
    let path = folder.path().join("hallpass.db");
    let garbage = vec![b'x'; 8192];
    let (dir, store) = open(folder.path()).await;
    store.close().await;
    let good = fs::read(&path).unwrap();
    let mut torn = good.clone();
    torn[100..4096].fill(0xff);
    for bad in [garbage, torn] {
        fs::write(&path, &bad).unwrap();
        let error = Store::open(&dir).await.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
        assert!(error.to_string().contains("hallpass.db"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bad);
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_refused() {
    let folder = folder();
    let dir = DataDir::hold(folder.path()).unwrap();
    fs::create_dir(folder.path().join("hallpass.db")).unwrap();
    let error = Store::open(&dir).await.unwrap_err();
    assert!(matches!(error, StoreError::Open { .. }), "{error:?}");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = folder();
    let (dir, store) = open(folder.path()).await;
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, installed_on, success, checksum, execution_time)
         VALUES (9999, 'later', '2030-01-01', 1, X'00', 0)",
    )
    .execute(&store.pool)
    .await
    .unwrap();
    store.close().await;
    let error = Store::open(&dir).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Newer { version: 9999, .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn what_is_stored_is_there_after_opening_again() {
    let folder = folder();
    let person = PersonId::from_uuid(uuid(1));
    let (dir, store) = open(folder.path()).await;
    store.operator_insert(person, Timestamp(1)).await.unwrap();
    store.meta_insert("fact", b"value").await.unwrap();
    assert!(store.meta_insert("fact", b"other").await.is_err());
    assert!(store.agent_insert(&agent(1), &[1; 32]).await.unwrap());
    assert!(
        !store
            .agent_insert(
                &Agent {
                    name: "agent-1".into(),
                    ..agent(2)
                },
                &[2; 32]
            )
            .await
            .unwrap()
    );
    assert!(
        store
            .credential_insert(&credential(1, person))
            .await
            .unwrap()
    );
    assert!(
        !store
            .credential_insert(&credential(2, person))
            .await
            .unwrap()
    );
    let wanted = vec![NamedCookie {
        name: "sid".into(),
        origin: "https://app.example.com".parse().unwrap(),
        delivery: crate::model::delegation::Delivery::Jar,
    }];
    let asked = delegation(1, agent(1).id, person);
    let stored = store.delegation_insert(asked, wanted).await.unwrap();
    let session = StoredSession {
        id: SessionId::from_uuid(uuid(1)),
        agent: agent(1).id,
        trace: trace(1, None).id,
        status: SessionStatus::Starting,
        delegations: vec![stored.delegation.id],
        started_at: Timestamp(2),
        ended_at: None,
        reason: None,
    };
    let kept = trace(1, Some(session.id));
    store.session_insert(&session, &kept).await.unwrap();
    store.close().await;
    drop(dir);

    let (_dir, store) = open(folder.path()).await;
    assert_eq!(store.operator_get().await.unwrap(), Some(person));
    assert!(store.person_exists(person).await.unwrap());
    assert!(
        !store
            .person_exists(PersonId::from_uuid(uuid(2)))
            .await
            .unwrap()
    );
    assert_eq!(
        store.meta_get("fact").await.unwrap().as_deref(),
        Some(&b"value"[..])
    );
    assert_eq!(store.agent_by_key(&[1; 32]).await.unwrap(), Some(agent(1)));
    assert_eq!(store.agent_by_key(&[2; 32]).await.unwrap(), None);
    assert_eq!(
        store.agent_by_name("agent-1").await.unwrap(),
        Some(agent(1))
    );
    let same = store
        .credential_same(person, &credential(1, person).info.cookie)
        .await
        .unwrap();
    assert_eq!(same, Some(credential(1, person)));
    assert_eq!(
        store.delegation_get(stored.delegation.id).await.unwrap(),
        Some(stored.clone())
    );
    assert_eq!(store.delegation_waiting(agent(1).id).await.unwrap(), 1);
    assert_eq!(
        store.delegation_list(Some(agent(2).id)).await.unwrap(),
        vec![]
    );
    assert_eq!(store.session_get(session.id).await.unwrap(), Some(session));
    assert_eq!(store.trace_list().await.unwrap(), vec![kept]);
}

#[tokio::test]
async fn changes_from_an_old_revision_or_version_change_nothing() {
    let folder = folder();
    let person = PersonId::from_uuid(uuid(1));
    let (_dir, store) = open(folder.path()).await;
    store.operator_insert(person, Timestamp(1)).await.unwrap();
    store.agent_insert(&agent(1), &[1; 32]).await.unwrap();
    let stored = store
        .delegation_insert(delegation(1, agent(1).id, person), vec![])
        .await
        .unwrap();
    let mut closed = stored.clone();
    closed.delegation.state = State::Closed {
        reason: CloseReason::Denied,
        at: Timestamp(2),
        approver: None,
        granted: None,
    };
    assert!(store.delegation_update(&closed).await.unwrap());
    assert!(!store.delegation_update(&stored).await.unwrap());
    let now = store
        .delegation_get(stored.delegation.id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((now.delegation, now.revision), (closed.delegation, 2));
    assert_eq!(store.delegation_unclosed().await.unwrap(), vec![]);

    let first = credential(1, person);
    store.credential_insert(&first).await.unwrap();
    let mut second = first.clone();
    second.info.version = 2;
    second.sealed = None;
    second.info.cleared = true;
    assert!(store.credential_replace(&second).await.unwrap());
    assert!(!store.credential_replace(&second).await.unwrap());
    assert_eq!(
        store.credential_get(first.info.id).await.unwrap(),
        Some(second)
    );
    assert!(store.credential_delete(first.info.id).await.unwrap());
    assert!(!store.credential_delete(first.info.id).await.unwrap());
}

#[tokio::test]
async fn ends_are_final_and_heads_never_go_back() {
    let folder = folder();
    let (_dir, store) = open(folder.path()).await;
    store.agent_insert(&agent(1), &[1; 32]).await.unwrap();
    for (at, expected) in [(5, 5), (9, 5)] {
        store
            .agent_disable(agent(1).id, Timestamp(at))
            .await
            .unwrap();
        let disabled = store.agent_get(agent(1).id).await.unwrap().unwrap();
        assert_eq!(disabled.disabled_at, Some(Timestamp(expected)));
    }
    let id = SessionId::from_uuid(uuid(1));
    let session = StoredSession {
        id,
        agent: agent(1).id,
        trace: trace(1, None).id,
        status: SessionStatus::Starting,
        delegations: vec![],
        started_at: Timestamp(2),
        ended_at: None,
        reason: None,
    };
    store
        .session_insert(&session, &trace(1, Some(id)))
        .await
        .unwrap();
    assert!(store.session_run(id).await.unwrap());
    assert!(store.session_end(id, Timestamp(3), "first").await.unwrap());
    assert!(!store.session_end(id, Timestamp(4), "second").await.unwrap());
    assert!(!store.session_run(id).await.unwrap());
    let ended = store.session_get(id).await.unwrap().unwrap();
    assert_eq!(
        (ended.ended_at, ended.reason.as_deref()),
        (Some(Timestamp(3)), Some("first"))
    );
    assert_eq!(store.session_unended().await.unwrap(), vec![]);

    let head = |records| Head {
        records,
        hash: LineHash([7; 32]),
        ..trace(1, None).head
    };
    store.trace_head_set(&head(5)).await.unwrap();
    store.trace_head_set(&head(4)).await.unwrap();
    store
        .trace_end(trace(1, None).id, Timestamp(9))
        .await
        .unwrap();
    let kept = store.trace_get(trace(1, None).id).await.unwrap().unwrap();
    assert_eq!((kept.head, kept.ended_at), (head(5), Some(Timestamp(9))));
    assert_eq!(store.trace_unended().await.unwrap(), vec![]);
}

#[tokio::test]
async fn a_row_that_nothing_here_wrote_is_an_error_not_a_guess() {
    let folder = folder();
    let person = PersonId::from_uuid(uuid(1));
    let (_dir, store) = open(folder.path()).await;
    store.operator_insert(person, Timestamp(1)).await.unwrap();
    store.agent_insert(&agent(1), &[1; 32]).await.unwrap();
    let one = delegation(1, agent(1).id, person);
    let other = delegation(2, agent(1).id, person);
    store.delegation_insert(one.clone(), vec![]).await.unwrap();
    store
        .delegation_insert(other.clone(), vec![])
        .await
        .unwrap();
    // One delegation's document in another one's row.
    sqlx::query(
        "UPDATE delegations SET document = (SELECT document FROM delegations WHERE id = $1)",
    )
    .bind(one.id.to_string())
    .execute(&store.pool)
    .await
    .unwrap();
    assert!(store.delegation_get(one.id).await.is_ok());
    assert!(matches!(
        store.delegation_get(other.id).await,
        Err(StoreError::Row { column: "id", .. })
    ));
    sqlx::query("UPDATE delegations SET document = '{}'")
        .execute(&store.pool)
        .await
        .unwrap();
    assert!(matches!(
        store.delegation_get(one.id).await,
        Err(StoreError::Row {
            table: "delegations",
            column: "document"
        })
    ));
}

#[test]
fn the_newest_comes_first_by_what_ids_mean_and_not_by_their_text() {
    let id = |n| TraceId::from_uuid(uuid(n));
    let (older, newer) = (id(25 << 3), id(26 << 3));
    assert!(older.to_string() > newer.to_string());
    let rows = [older, newer].map(Ok).into_iter();
    assert_eq!(newest_first(rows, |id| *id).unwrap(), [newer, older]);
}

//! No sequence of events and clocks opens a closed window or lengthens an open one.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;

const CAP: Duration = Duration::from_hours(1);
const LIMITS: Limits = Limits { window: CAP };
const SECOND: i64 = 1_000_000;

fn terms(start: i64, end: i64) -> Terms {
    Terms {
        scope: Scope::reading(vec!["https://app.example.com".parse().unwrap()]),
        window: Window {
            start: Timestamp(start),
            end: Timestamp(end),
        },
        credentials: vec![],
    }
}

fn delegation(start: i64, end: i64) -> Delegation {
    Delegation {
        id: DelegationId::from_uuid(Uuid::from_u128(1)),
        agent: AgentId::from_uuid(Uuid::from_u128(2)),
        lender: PersonId::from_uuid(Uuid::from_u128(3)),
        purpose: "read one ticket".into(),
        requested_at: Timestamp(0),
        requested: terms(start, end),
        state: State::Requested,
    }
}

fn at(wall: i64, boot: u64) -> Now {
    Now {
        wall: Timestamp(wall),
        boot: BootTime(boot),
    }
}

fn approve(start: i64, end: i64) -> Event {
    Event::Approve {
        approver: PersonId::from_uuid(Uuid::from_u128(3)),
        granted: Box::new(terms(start, end)),
        boot_id: "boot".into(),
    }
}

#[test]
fn windows_that_are_none_are_refused() {
    for (start, end, now, expected) in [
        (10, 5, 0, "before it starts"),
        (5, 5, 0, "before it starts"),
        (0, 7200 * SECOND, 0, "at most"),
        (0, 10, 20, "is past"),
    ] {
        let refused = Window {
            start: Timestamp(start),
            end: Timestamp(end),
        }
        .validate(LIMITS, Timestamp(now))
        .unwrap_err()
        .to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn a_refused_event_changes_nothing() {
    let mut asked = delegation(0, 100 * SECOND);
    let before = asked.clone();
    for wider in [
        approve(0, 101 * SECOND),
        approve(-1, 100 * SECOND),
        Event::Approve {
            approver: asked.lender,
            granted: Box::new(Terms {
                credentials: vec![LentCredential {
                    credential: CredentialId::from_uuid(Uuid::from_u128(9)),
                    delivery: Delivery::Wire,
                }],
                ..terms(0, 100 * SECOND)
            }),
            boot_id: "boot".into(),
        },
    ] {
        assert!(asked.apply(wider, LIMITS, at(0, 0)).is_err());
        assert_eq!(asked, before);
    }
}

#[test]
fn a_clock_set_back_does_not_lengthen() {
    let mut asked = delegation(0, 100 * SECOND);
    asked
        .apply(approve(0, 100 * SECOND), LIMITS, at(0, 0))
        .unwrap();
    let live = asked.live("boot").unwrap();
    assert!(live.is_open(at(50 * SECOND, 50_000_000)));
    assert!(!live.is_open(at(50 * SECOND, 100_000_000)), "wall set back");
    assert!(
        !live.is_open(at(100 * SECOND, 50_000_000)),
        "wall set forward"
    );
    assert!(asked.live("another boot").is_none());
    assert!(asked.is_due("another boot", at(0, 0)));
}

#[derive(Debug, Clone)]
enum Step {
    Approve(i64, i64),
    Close(CloseReason),
    Wait(u64),
    SetWall(i64),
    Reboot,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..200i64, 0..200i64).prop_map(|(a, b)| Step::Approve(a * SECOND, b * SECOND)),
        prop_oneof![
            Just(CloseReason::Denied),
            Just(CloseReason::Expired),
            Just(CloseReason::Revoked),
            Just(CloseReason::Completed),
        ]
        .prop_map(Step::Close),
        (0..60u64).prop_map(Step::Wait),
        (0..300i64).prop_map(Step::SetWall),
        Just(Step::Reboot),
    ]
}

proptest! {
    /// A reference that knows real time: the window may only be open while a
    /// grant exists, for no longer in real time than was granted, and never
    /// again after a close.
    #[test]
    fn never_longer_never_again(steps in prop::collection::vec(step(), 1..40)) {
        let mut asked = delegation(0, 200 * SECOND);
        let (mut wall, mut boot, mut boots) = (0i64, 0u64, 0u32);
        let mut real = 0u64;
        let mut closed = false;
        let mut granted_at: Option<(u64, Duration)> = None;
        for step in steps {
            let boot_id = if boots == 0 { "boot".to_owned() } else { format!("boot {boots}") };
            let now = at(wall, boot);
            match step {
                Step::Approve(start, end) => {
                    if asked.apply(approve(start, end), LIMITS, now).is_ok() {
                        prop_assert!(!closed && granted_at.is_none());
                        granted_at = Some((real, Timestamp(wall.min(start)).until(Timestamp(end))));
                    }
                }
                Step::Close(reason) => {
                    asked.apply(Event::Close(reason), LIMITS, now).ok();
                    closed = true;
                }
                Step::Wait(seconds) => {
                    real += seconds * 1_000_000;
                    boot += seconds * 1_000_000;
                    wall += i64::try_from(seconds).unwrap() * SECOND;
                }
                Step::SetWall(seconds) => wall = seconds * SECOND,
                Step::Reboot => {
                    boots += 1;
                    boot = 0;
                }
            }
            let boot_id_now = if boots == 0 { "boot".to_owned() } else { format!("boot {boots}") };
            prop_assert!(boot_id == boot_id_now || boots > 0);
            let open = asked.live(&boot_id_now).is_some_and(|live| live.is_open(at(wall, boot)));
            if open {
                prop_assert!(!closed && boots == 0);
                let (since, span) = granted_at.expect("open only when granted");
                prop_assert!(Duration::from_micros(real - since) < span);
            }
        }
    }
}

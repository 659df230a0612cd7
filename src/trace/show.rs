//! One line a record, for a terminal.
//!
//! Much of a record comes from pages and agents. What a terminal would obey, or
//! what would turn the reading order round, is shown as its code instead.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    chain::StoredRecord,
    record::{Actor, CookieTrace, Event},
};
use crate::model::{
    action::Refusal,
    hold::{HoldEnd, HoldRule},
    id::{DelegationId, HoldId},
};

/// A record as one line of text: time (UTC), number, who, what.
///
/// A record of a newer release, whose event is unknown here, is shown by its
/// type and its JSON.
#[must_use]
pub fn line(record: &Value) -> String {
    let text = match serde_json::from_value::<StoredRecord>(record.clone()) {
        Ok(record) => format!(
            "{}  #{} {} {}",
            time(&record.at.to_string()),
            record.seq,
            who(&record.actor),
            what(&record.event)
        ),
        Err(_) => unknown(record),
    };
    printable(&text)
}

fn who(actor: &Actor) -> String {
    match actor {
        Actor::Person { id } => format!("person {id}"),
        Actor::Agent { id } => format!("agent {id}"),
        Actor::Page => "page".to_owned(),
        Actor::Broker => "broker".to_owned(),
    }
}

#[expect(clippy::too_many_lines, reason = "one arm for each kind of event")]
fn what(event: &Event) -> String {
    match event {
        Event::Broker { what, version } => format!("Hallpass {version} {what}"),
        Event::Registry { what, id, detail } => format!("{what} {id} {detail}"),
        Event::CallRefused { route, reason } => format!("was refused {route}: {reason}"),
        Event::DelegationRequested {
            delegation,
            agent,
            lender,
            purpose,
            requested,
        } => format!(
            "asked for {delegation}: {agent} to use the session of {lender} until {}, for: {purpose}",
            requested.window.end
        ),
        Event::DelegationApproved {
            delegation,
            approver,
            granted,
        } => format!(
            "approved {delegation} as {approver} with {} until {}",
            counted(granted.credentials.len(), "cookie"),
            granted.window.end
        ),
        Event::DelegationClosed { delegation, reason } => {
            let reason = format!("{reason:?}").to_lowercase();
            format!("closed {delegation}: {reason}")
        }
        Event::SessionStarted {
            session,
            agent,
            delegations,
            browser,
        } => format!(
            "started {session} for {agent} in {browser} with {}",
            counted(delegations.len(), "delegation")
        ),
        Event::WindowOpened {
            delegation,
            lender,
            approver,
            until,
            cookies,
            from: _,
            scope: _,
        } => format!(
            "opened the window of {delegation} until {until}: {} of {lender}, approved by {approver}",
            named(cookies)
        ),
        Event::SessionEnded { reason } => format!("ended the session: {reason}"),
        Event::Client {
            what,
            connection,
            detail,
        } => format!("client {connection} {what}{}", after(" ", detail)),
        Event::Command {
            method,
            target,
            verdict,
            detail,
            ..
        } => {
            let target = after(" to ", target.as_deref().unwrap_or_default());
            format!("sent {method}{target}: {verdict}{}", after(", ", detail))
        }
        Event::Request {
            what,
            delegation,
            refusal,
            ..
        } => request(what, *delegation, refusal.as_ref()),
        Event::SecondSystem {
            origin,
            what: _,
            page,
            cause,
        } => format!(
            "ran into another system, {origin}{}{}",
            after(" from ", page.as_deref().unwrap_or_default()),
            after(" by ", cause.as_deref().unwrap_or_default())
        ),
        Event::HoldOpened {
            hold,
            what,
            class,
            says,
            agent_says,
            ..
        } => {
            let words = agent_says.as_deref().map(|words| format!("“{words}”"));
            format!(
                "{what} ({class}) waits for a person as {hold}: {says}{}",
                after("; the agent says ", words.as_deref().unwrap_or_default())
            )
        }
        Event::HoldEnded {
            hold,
            how,
            rule,
            words,
        } => hold_ended(*hold, *how, rule.as_ref(), words.as_deref()),
        Event::Injection { request, cookies } => {
            format!("lent {} to request {request}", named(cookies))
        }
        Event::Rotation { cookie, what } => {
            format!("site {what} {}", named(std::slice::from_ref(cookie)))
        }
        Event::Navigation { target: _, url } => format!("navigated to {url}"),
        Event::Outcome {
            request,
            status,
            error,
        } => outcome(request, *status, error.as_deref()),
        Event::Connection {
            host,
            port,
            address,
            refusal,
            ..
        } => connection(host, *port, address.as_deref(), refusal.as_ref()),
        Event::ConnectionEnded {
            host,
            port,
            sent,
            received,
            how,
        } => format!("connection to {host}:{port} {how}: {sent} bytes sent, {received} received"),
        Event::Redaction { method, count } => format!(
            "replaced {} in {method}",
            counted(usize::try_from(*count).unwrap_or(usize::MAX), "secret")
        ),
    }
}

fn request(what: &str, delegation: Option<DelegationId>, refusal: Option<&Refusal>) -> String {
    match (delegation, refusal) {
        (_, Some(refusal)) => format!("was refused {what}{}", because(refusal)),
        (Some(delegation), None) => format!("may request {what} under {delegation}"),
        (None, None) => format!("may request {what}"),
    }
}

fn outcome(request: &str, status: Option<u16>, error: Option<&str>) -> String {
    let mut text = format!("request {request} ended");
    if let Some(status) = status {
        let _ = write!(text, " with status {status}");
    }
    if let Some(error) = error {
        let _ = write!(text, ": {error}");
    }
    text
}

fn connection(host: &str, port: u16, address: Option<&str>, refusal: Option<&Refusal>) -> String {
    match (refusal, address) {
        (Some(refusal), _) => {
            format!(
                "was refused a connection to {host}:{port}{}",
                because(refusal)
            )
        }
        (None, Some(address)) => format!("connected to {host}:{port} at {address}"),
        (None, None) => format!("connected to {host}:{port}"),
    }
}

fn hold_ended(hold: HoldId, how: HoldEnd, rule: Option<&HoldRule>, words: Option<&str>) -> String {
    let how = match how {
        HoldEnd::Once => "let it go this once",
        HoldEnd::LikeThis => "let it go, and others like it",
        HoldEnd::Denied => "said no",
        HoldEnd::Expired => "denied it: nobody answered in time",
        HoldEnd::WindowClosed => "denied it: its window closed",
        HoldEnd::GivenUp => "denied it: its page gave it up",
        HoldEnd::SessionEnded => "denied it: its session ended",
        HoldEnd::BrokerStopped => "denied it: the broker had stopped",
    };
    let rule = rule.map(ToString::to_string).unwrap_or_default();
    let words = words.map(|words| format!("“{words}”")).unwrap_or_default();
    format!("{hold}: {how}{}{}", after(": ", &rule), after(": ", &words))
}

fn because(refusal: &Refusal) -> String {
    let mut text = format!(" (rule {}", refusal.rule);
    if !refusal.policies.is_empty() {
        let _ = write!(text, " of {}", refusal.policies.join(", "));
    }
    if let Some(delegation) = refusal.delegation {
        let _ = write!(text, ", {delegation}");
    }
    text.push(')');
    text
}

fn named(cookies: &[CookieTrace]) -> String {
    let names: Vec<String> = cookies
        .iter()
        .map(|cookie| format!("`{}` of {}", cookie.name, cookie.domain))
        .collect();
    match names.as_slice() {
        [] => "no cookie".to_owned(),
        [name] => format!("cookie {name}"),
        _ => format!("cookies {}", names.join(", ")),
    }
}

fn counted(count: usize, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
}

fn after(separator: &str, text: &str) -> String {
    if text.is_empty() {
        return String::new();
    }
    format!("{separator}{text}")
}

fn unknown(record: &Value) -> String {
    let text = |pointer: &str| record.pointer(pointer).and_then(Value::as_str);
    let seq = record.pointer("/seq").and_then(Value::as_u64);
    let actor = [text("/actor/kind"), text("/actor/id")];
    format!(
        "{}  #{} {} {}: {}",
        time(text("/at").unwrap_or_default()),
        seq.map_or_else(|| "?".to_owned(), |seq| seq.to_string()),
        actor.into_iter().flatten().collect::<Vec<_>>().join(" "),
        text("/event/type").unwrap_or("unknown"),
        record.get("event").unwrap_or(&Value::Null)
    )
}

// `2026-11-24T09:15:00.123456Z` → `09:15:00.123`.
fn time(at: &str) -> &str {
    at.split_once('T')
        .and_then(|(_, time)| time.get(..12))
        .unwrap_or(at)
}

fn printable(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut out, c| {
            match c {
                c if c.is_control() || is_invisible(c) => out.extend(c.escape_unicode()),
                c => out.push(c),
            }
            out
        })
}

// Direction marks, joiners and other marks without a shape of their own.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        model::{id::TraceId, time::Timestamp},
        trace::{chain::Chain, record::Draft, record::samples},
    };

    fn shown(actor: Actor, event: Event) -> String {
        let at = Timestamp::parse("2026-11-24T12:03:04.123456Z").unwrap();
        let trace = TraceId::from_uuid(uuid::Uuid::from_u128(1));
        let draft = Draft { at, actor, event };
        let bytes = Chain::new(trace)
            .append(draft.fit().unwrap())
            .unwrap()
            .bytes;
        line(&serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn a_record_is_one_line_that_says_who_did_what() {
        let agent = Actor::Agent {
            id: samples::agent(),
        };
        let event = Event::Navigation {
            target: "T".into(),
            url: "https://a.test/x".into(),
        };
        assert_eq!(
            shown(agent, event),
            format!(
                "12:03:04.123  #1 agent {} navigated to https://a.test/x",
                samples::agent()
            )
        );
        for event in samples::all("some text", 3) {
            let text = shown(Actor::Broker, event);
            assert!(text.starts_with("12:03:04.123  #1 broker "), "{text}");
            assert!(!text.contains(['{', '\n']), "{text}");
        }
    }

    #[test]
    fn nothing_reaches_the_terminal_that_it_would_obey() {
        for hostile in ["\u{1b}[2J", "\r\n#2 broker", "\u{9b}0m", "\u{202e}gpj"] {
            for event in samples::all(hostile, 1) {
                let text = shown(Actor::Page, event);
                assert!(
                    !text.contains(|c: char| c.is_control() || c == '\u{202e}'),
                    "{text}"
                );
            }
        }
    }

    #[test]
    fn a_record_of_a_newer_release_is_shown_as_it_is() {
        let record = json!({"seq": 4, "at": "2026-11-24T12:03:04.123456Z", "actor": {"kind": "page"},
            "event": {"type": "teleport", "to": "\u{1b}"}});
        assert_eq!(
            line(&record),
            "12:03:04.123  #4 page teleport: {\"type\":\"teleport\",\"to\":\"\\u001b\"}"
        );
    }
}

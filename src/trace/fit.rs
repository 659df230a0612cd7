//! Brings a draft to a size that fits a line. The one place where a text of a
//! record is shortened.

use std::io;

use super::{
    canonical::{INTEGER_MAX, escaped_len, text_len},
    record::{CookieTrace, Draft, Event, Facts},
};
use crate::model::{action::Refusal, delegation::Terms};

/// Longest line, in bytes: a tree's entry carries a 16-bit length.
pub const LINE_MAX: usize = 65_534;

/// Longest text of a record, in bytes as written, escapes included.
pub const TEXT_MAX: usize = 8 * 1024;

/// Longest text of an item of a list, in bytes as written, escapes included.
pub const ITEM_TEXT_MAX: usize = 1024;

// Most items of a list of texts.
const LIST_MAX: usize = 12;

// Everything of a line but texts and lists: names, ids, times, hashes, numbers.
const FRAME: usize = 1024;
// The same of one cookie, and of one id in a list.
const COOKIE: usize = 160;
const ID: usize = 40;

/// A draft whose line is no longer than [`LINE_MAX`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fitted {
    draft: Draft,
    weight: usize,
}

/// A record with lists so long that no line holds it. Texts never cause this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the record needs {0} bytes and at most {LINE_MAX} are allowed; name fewer origins, paths or cookies"
)]
pub struct TooLong(usize);

impl Draft {
    /// Cuts texts that are too long, with a mark that says so and how long they were.
    ///
    /// # Errors
    /// Its lists are too long.
    pub fn fit(mut self) -> Result<Fitted, TooLong> {
        let mut measure = Measure(FRAME);
        measure.event(&mut self.event);
        match measure.0 {
            weight if weight <= LINE_MAX => Ok(Fitted {
                draft: self,
                weight,
            }),
            weight => Err(TooLong(weight)),
        }
    }
}

impl Fitted {
    /// The draft itself.
    #[must_use]
    pub const fn draft(&self) -> &Draft {
        &self.draft
    }

    /// Bytes that its line takes at most.
    #[must_use]
    pub const fn weight(&self) -> usize {
        self.weight
    }

    pub(super) fn into_draft(self) -> Draft {
        self.draft
    }
}

// Adds up what a line takes at most.
struct Measure(usize);

impl Measure {
    #[expect(clippy::too_many_lines, reason = "one arm for each kind of event")]
    fn event(&mut self, event: &mut Event) {
        match event {
            Event::Broker { what, version } => self.texts([what, version]),
            Event::Registry { what, id, detail } => self.texts([what, id, detail]),
            Event::CallRefused { route, reason } => self.texts([route, reason]),
            Event::DelegationRequested {
                purpose, requested, ..
            } => {
                self.text(purpose);
                self.terms(requested);
            }
            Event::DelegationApproved { granted, .. } => self.terms(granted),
            Event::DelegationClosed { .. } => {}
            Event::SessionStarted {
                delegations,
                browser,
                ..
            } => {
                self.text(browser);
                self.0 += delegations.len() * ID;
            }
            Event::WindowOpened { cookies, scope, .. } => {
                self.cookies(cookies);
                self.written(scope);
            }
            Event::SessionEnded { reason } => self.text(reason),
            Event::Client {
                what,
                connection,
                detail,
            } => {
                number(connection);
                self.texts([what, detail]);
            }
            Event::Command {
                connection,
                method,
                target,
                verdict,
                detail,
            } => {
                number(connection);
                self.texts([method, verdict, detail]);
                self.texts(target);
            }
            Event::Request {
                request,
                what,
                refusal,
                policy,
                policies,
                facts,
                ..
            } => {
                self.items([request, policy]);
                self.text(what);
                self.list(policies);
                self.facts(facts);
                self.refusal(refusal.as_mut());
            }
            Event::SecondSystem {
                what, page, cause, ..
            } => {
                self.text(what);
                self.texts(page);
                self.items(cause);
                self.0 += ITEM_TEXT_MAX;
            }
            Event::HoldOpened {
                request,
                what,
                policies,
                says,
                facts,
                page,
                cause,
                agent_says,
                ..
            } => {
                self.text(what);
                self.texts(page);
                self.items([request, says]);
                self.items(cause);
                self.items(agent_says);
                self.list(policies);
                self.facts(facts);
            }
            Event::HoldEnded { rule, words, .. } => {
                self.texts(words);
                if let Some(rule) = rule {
                    self.texts([&mut rule.path, &mut rule.method]);
                    self.items([&mut rule.body]);
                    for names in [&mut rule.query, &mut rule.fields] {
                        let mut list: Vec<String> = std::mem::take(names).into_iter().collect();
                        self.list(&mut list);
                        names.extend(list);
                    }
                }
            }
            Event::Injection { request, cookies } => {
                self.text(request);
                self.cookies(cookies);
            }
            Event::Rotation { cookie, what } => {
                self.text(what);
                self.cookies(std::slice::from_mut(cookie));
            }
            Event::Navigation { target, url } => self.texts([target, url]),
            Event::Outcome { request, error, .. } => {
                self.text(request);
                self.texts(error);
            }
            Event::Connection {
                host,
                address,
                refusal,
                ..
            } => {
                self.text(host);
                self.texts(address);
                self.refusal(refusal.as_mut());
            }
            Event::ConnectionEnded {
                host,
                sent,
                received,
                how,
                ..
            } => {
                number(sent);
                number(received);
                self.texts([host, how]);
            }
            Event::Redaction { method, count } => {
                number(count);
                self.text(method);
            }
        }
    }

    fn texts<'a>(&mut self, texts: impl IntoIterator<Item = &'a mut String>) {
        for text in texts {
            self.text(text);
        }
    }

    fn text(&mut self, text: &mut String) {
        self.0 += cut(text, TEXT_MAX);
    }

    fn items<'a>(&mut self, texts: impl IntoIterator<Item = &'a mut String>) {
        for text in texts {
            self.0 += ID + cut(text, ITEM_TEXT_MAX);
        }
    }

    fn facts(&mut self, facts: &mut Facts) {
        self.items(&mut facts.page);
        if let Some(body) = &mut facts.body {
            number(&mut body.size);
            self.items([&mut body.kind]);
            self.list(&mut body.fields);
        }
    }

    /// A list of short texts; what is too many for a line is left out.
    fn list(&mut self, texts: &mut Vec<String>) {
        if texts.len() > LIST_MAX {
            let left = texts.len() - (LIST_MAX - 1);
            texts.truncate(LIST_MAX - 1);
            texts.push(format!("…[and {left} more]"));
        }
        self.items(texts);
    }

    fn refusal(&mut self, refusal: Option<&mut Refusal>) {
        if let Some(refusal) = refusal {
            self.text(&mut refusal.what);
            self.list(&mut refusal.policies);
            self.items(&mut refusal.says);
        }
    }

    fn cookies(&mut self, cookies: &mut [CookieTrace]) {
        for cookie in cookies {
            let CookieTrace {
                credential: _,
                name,
                domain,
                delivery: _,
                digest,
            } = cookie;
            self.0 += COOKIE;
            for text in [name, domain, digest] {
                self.0 += cut(text, ITEM_TEXT_MAX);
            }
        }
    }

    // Terms come from a person's or an operator's hand, so they are not worth a
    // measure of their own: they are written once into a counter.
    fn terms(&mut self, terms: &Terms) {
        self.written(terms);
    }

    fn written(&mut self, value: &impl serde::Serialize) {
        let mut count = Count(0);
        self.0 += match serde_json::to_writer(&mut count, value) {
            Ok(()) => count.0,
            Err(_) => LINE_MAX,
        };
    }
}

struct Count(usize);

impl io::Write for Count {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// A count that no line can hold exactly is as good as endless.
fn number(count: &mut u64) {
    *count = (*count).min(INTEGER_MAX);
}

// Cuts `text` to `max` bytes as written and answers how many it takes.
fn cut(text: &mut String, max: usize) -> usize {
    let written = text_len(text);
    if written <= max {
        return written;
    }
    let mark = format!("…[cut: {} bytes in all]", text.len());
    let room = max.saturating_sub(mark.len());
    let (mut used, mut end) = (0, 0);
    for (at, c) in text.char_indices() {
        let mut utf8 = [0; 4];
        used += c
            .encode_utf8(&mut utf8)
            .bytes()
            .map(escaped_len)
            .sum::<usize>();
        if used > room {
            break;
        }
        end = at + c.len_utf8();
    }
    text.truncate(end);
    text.push_str(&mark);
    text_len(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        model::{id::TraceId, time::Timestamp},
        trace::{chain::Chain, record::Actor, record::samples},
    };

    #[test]
    fn a_long_text_is_cut_with_a_mark_and_a_short_one_is_left_alone() {
        for (text, max, starts, written) in [
            ("short".to_owned(), 64, "short", 5),
            ("x".repeat(64), 64, "xx", 64),
            ("x".repeat(1000), 64, "xxx", 64),
            ("\u{1}".repeat(1000), 64, "\u{1}", 63),
            ("€".repeat(1000), 64, "€€", 64),
        ] {
            let mut cut_text = text.clone();
            let answered = cut(&mut cut_text, max);
            assert!(cut_text.starts_with(starts), "{cut_text}");
            assert_eq!(answered, text_len(&cut_text));
            assert!(answered <= written && answered + 3 > written, "{answered}");
            assert_eq!(
                cut_text.ends_with(&format!("…[cut: {} bytes in all]", text.len())),
                cut_text != text
            );
        }
    }

    #[test]
    fn every_kind_of_record_fits_however_long_its_texts() {
        for long in ["", "x", "\u{1}", "\"", "€", "\u{1f600}"] {
            for event in samples::all(&long.repeat(70_000), u64::MAX) {
                let draft = Draft {
                    at: Timestamp(i64::MAX),
                    actor: Actor::Broker,
                    event,
                };
                let fitted = draft.fit().unwrap();
                let weight = fitted.weight();
                let trace = TraceId::from_uuid(uuid::Uuid::from_u128(1));
                let line = Chain::new(trace).append(fitted).unwrap();
                assert!(line.bytes.len() <= weight, "{}", line.bytes.len());
            }
        }
    }

    #[test]
    fn lists_that_no_line_holds_are_refused() {
        let cookie = samples::cookie("sid");
        let draft = |count| Draft {
            at: Timestamp(0),
            actor: Actor::Broker,
            event: Event::Injection {
                request: "1".into(),
                cookies: vec![cookie.clone(); count],
            },
        };
        assert!(draft(200).fit().is_ok());
        assert!(draft(1000).fit().is_err());
        let terms = samples::terms(&["/x".repeat(40_000)]);
        let event = Event::DelegationApproved {
            delegation: samples::delegation(),
            approver: samples::person(),
            granted: terms,
        };
        let draft = Draft {
            at: Timestamp(0),
            actor: Actor::Broker,
            event,
        };
        assert!(draft.fit().is_err());
    }
}

//! Messages as no client and no browser would write them: those of the corpus,
//! bent at random, in random order, from either side.
//!
//! The seed is fixed, so a run is the same each time. For a longer one, in other
//! ways: `FUZZ_ROUNDS=100000 FUZZ_SEED=7 cargo test --lib fuzz`. A failure tells
//! its round and all that was said in it; what it was about belongs into the
//! corpus.

use std::{collections::HashSet, fmt::Write as _};

use super::*;
use crate::cdp::{
    envelope::Command,
    table::{self, Verdict},
};

const ROUNDS: u64 = 120;
const SEED: u64 = 1;
/// Messages of one round.
const SAID: usize = 40;

/// What is put into messages besides bytes.
const WORDS: [&str; 24] = [
    "\"id\":1,",
    "\"method\":\"Page.crash\",",
    "\"sessionId\":\"CLIENT\",",
    "\"sessionId\":\"broker-PAGE\",",
    "\"sessionId\":\"browser.1.7\",",
    "\"sessionId\":null,",
    "\"params\":{},",
    "\"params\":[],",
    "\"result\":{},",
    "\"error\":{},",
    "\"targetId\":\"PAGE\",",
    "\"browserContextId\":\"OWN\",",
    "\"flatten\":true,",
    "\\u0000",
    "\\ud800",
    "\u{feff}",
    "1e999",
    "-0",
    "[[[[[[[[",
    "{\"a\":",
    "s3cr3t-s3ss10n-v4lu3",
    "\\u00733cr3t-s3ss10n-v4lu3",
    "s3cr3t\\u002ds3ss10n\\u002dv4lu3",
    "Runtime.evaluate",
];

/// Names that stand in messages, some of them not the client's to say.
const IDS: [&str; 6] = [
    "CLIENT",
    "broker-PAGE",
    "FOREIGN-SESSION",
    "PAGE",
    "Page.enable",
    "Runtime.evaluate",
];

/// Steele, Lea and Flood's `SplitMix64`.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end.max(1)).unwrap()).unwrap()
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// A message of the corpus, most often bent.
    fn message(&mut self, corpus: &[&str]) -> Vec<u8> {
        let mut message = self.of(corpus).as_bytes().to_vec();
        for _ in 0..self.below(4) {
            let at = self.below(message.len());
            match self.below(9) {
                0 if !message.is_empty() => message[at] ^= 1 << self.below(8),
                1 => message.truncate(at),
                2 => {
                    let other = self.of(corpus).as_bytes();
                    let from = self.below(other.len());
                    message.truncate(at);
                    message.extend_from_slice(&other[from..]);
                }
                3 if !message.is_empty() => {
                    message.remove(at);
                }
                // After a brace a word is often a member.
                4 => {
                    let braces: Vec<_> = message.iter().enumerate().collect();
                    let braces: Vec<_> = braces
                        .into_iter()
                        .filter(|(_, byte)| **byte == b'{')
                        .map(|(at, _)| at + 1)
                        .collect();
                    if !braces.is_empty() {
                        let at = *self.of(&braces);
                        message.splice(at..at, self.of(&WORDS).bytes());
                    }
                }
                // After a quotation mark it is often part of a string.
                5 => {
                    let marks: Vec<_> = (0..message.len())
                        .filter(|at| message[*at] == b'"')
                        .map(|at| at + 1)
                        .collect();
                    if !marks.is_empty() {
                        let at = *self.of(&marks);
                        message.splice(at..at, self.of(&WORDS).bytes());
                    }
                }
                6 => {
                    message.splice(at..at, self.of(&WORDS).bytes());
                }
                // Well formed still, and about something else.
                _ => {
                    let to = *self.of(&IDS);
                    let text = String::from_utf8(message.clone()).unwrap_or_default();
                    if let Some(from) = IDS.iter().find(|id| text.contains(**id)) {
                        message = text.replacen(from, to, 1).into_bytes();
                    }
                }
            }
        }
        message
    }
}

/// A message that may have half a surrogate pair in it, as `JSON.stringify` writes
/// it and `serde_json` takes it in what it need not look into.
fn read(message: &[u8]) -> Value {
    let text = String::from_utf8(message.to_vec()).unwrap();
    let text = text.replace("\\ud800", "\\ufffd");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// What must hold of all that comes of one message.
fn check(world: &mut World, message: &[u8], by_client: bool, ids: &mut HashSet<u64>) {
    let command: Option<Command<'_>> = serde_json::from_slice(message).ok();
    if let Some(command) = &command {
        // Read as everybody else reads it.
        let plain = read(message);
        assert_eq!(plain["id"], command.id);
        assert_eq!(plain["method"], *command.method);
        assert_eq!(plain["sessionId"].as_str(), command.session.as_deref());
    }
    let clients: Vec<_> = world.hub.sessions.iter().collect();
    let clients: HashSet<String> = clients
        .into_iter()
        .filter(|(_, attached)| attached.owner == Owner::Client(1))
        .map(|(session, _)| session.to_string())
        .collect();
    let (mut told, mut asked) = (Vec::new(), Vec::new());
    for output in world.outputs() {
        match output {
            Output::Client { message, .. } => told.push(read(&message)),
            Output::Browser(message) => asked.push(read(&message)),
            _ => {}
        }
    }
    for told in &told {
        assert!(!told.to_string().contains(SECRET), "told {told}");
        if let (true, Some(command), Some(id)) = (by_client, &command, told.get("id")) {
            assert_eq!(id, command.id);
        }
    }
    for asked in &asked {
        let method = asked["method"].as_str().unwrap();
        assert!(
            ids.insert(asked["id"].as_u64().unwrap()),
            "twice the number of {asked}"
        );
        if !by_client {
            continue;
        }
        let row = table::method(method).unwrap_or_else(|| panic!("asked {asked}"));
        assert!(row.verdict != Verdict::Refuse, "asked {asked}");
        let on = asked.get("sessionId").map(|session| {
            let session = session.as_str();
            session.unwrap_or_else(|| panic!("asked {asked}"))
        });
        assert!(on.is_none_or(|on| clients.contains(on)), "asked {asked}");
    }
    if by_client && command.is_none() {
        // Not even an interpretation of it goes on.
        assert!(asked.is_empty(), "asked {asked:?}");
        assert!(told.iter().all(|told| told.get("error").is_some()));
    }
}

fn round(chance: &mut Chance, corpus: &[&str], said: &mut String) {
    let mut world = World::new(Delivery::Wire, "[]");
    world.attach();
    let mut ids = HashSet::new();
    for _ in 0..SAID {
        let by_client = chance.below(2) == 0;
        let message = chance.message(corpus);
        let who = if by_client { "client" } else { "browser" };
        writeln!(said, "{who}: {}", String::from_utf8_lossy(&message)).unwrap();
        let now = world.now;
        if by_client {
            world.hub.handle_client(1, &message, now);
        } else {
            world.hub.handle_browser(&message, now);
        }
        check(&mut world, &message, by_client, &mut ids);
        if world.hub.ended {
            break;
        }
    }
}

/// Tells what was said when a test fails on it.
struct Said(u64, String);

impl Drop for Said {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in round {}:\n{}", self.0, self.1);
        }
    }
}

fn number(variable: &str, default: u64) -> u64 {
    let set = std::env::var(variable).ok();
    set.map_or(default, |set| {
        set.parse().unwrap_or_else(|_| panic!("{variable}={set}"))
    })
}

#[test]
fn bent_messages_do_no_harm() {
    let corpus: Vec<&str> = include_str!("corpus.txt").lines().collect();
    let seed = number("FUZZ_SEED", SEED);
    let (mut asked, mut broken) = (0, 0);
    for at in 0..number("FUZZ_ROUNDS", ROUNDS) {
        // Each round by a seed of its own, so that one can be run alone.
        let mut chance = Chance(seed.wrapping_mul(0x1_0000_0001).wrapping_add(at << 17));
        let mut said = Said(at, String::new());
        round(&mut chance, &corpus, &mut said.1);
        for line in said.1.lines() {
            match line.split_once(": ") {
                Some(("client", text)) if serde_json::from_str::<Command<'_>>(text).is_ok() => {
                    asked += 1;
                }
                _ => broken += 1,
            }
        }
    }
    // Both what is understood and what is not was tried, and much of it.
    assert!(
        asked > broken / 20 && broken > asked / 20,
        "{asked} {broken}"
    );
}

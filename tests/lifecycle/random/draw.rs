//! What each round draws: all of it follows from one seed and its number.

use std::{env, ops::Range, str::FromStr};

use super::work::Work;

/// Blows that must fall before the work is done, where the environment asks for
/// no other number.
const ROUNDS: usize = 200;
/// So many times as many rounds at most: a blow may fall too late.
const PATIENCE: u64 = 3;
const SEED: u64 = 20_261_127;

/// What is struck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blow {
    /// The main process of a browser.
    Browser,
    /// One of a browser's other processes.
    Process,
    /// The broker, by SIGKILL.
    Broker,
    /// The agent's connections, which end without a word.
    Agent,
}

impl Blow {
    pub const ALL: [Self; 4] = [Self::Browser, Self::Process, Self::Broker, Self::Agent];
}

/// How the broker gives sessions their browsers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setup {
    Cold,
    Warm,
    Shared,
}

/// When the blow falls: at so many thousandths of what the work comes to when it
/// is undisturbed.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub of: Measure,
    pub share: u32,
}

/// What a work's progress is counted by.
#[derive(Debug, Clone, Copy)]
pub enum Measure {
    Time,
    /// Requests at the site.
    Requests,
    /// Events at the client.
    Events,
}

/// One round.
#[derive(Debug, Clone, Copy)]
pub struct Round {
    pub number: u64,
    pub blow: Blow,
    pub work: Work,
    pub point: Point,
    /// What the broker is set to, if it is started in this round.
    pub setup: Setup,
    /// Lent by the jar; by the wire otherwise.
    pub jar: bool,
    /// Records are read right before the blow, and not only before the work.
    pub reads: bool,
    /// The window ends while its session runs, rather than after it.
    pub revokes: bool,
    /// Which of several processes is struck.
    pub pick: usize,
}

/// The rounds that are to be run.
#[derive(Debug)]
pub struct Plan {
    pub seed: u64,
    /// Their numbers, at most.
    pub numbers: Range<u64>,
    /// Enough, once so many blows fell before the work was done and each kind of
    /// blow met each kind of work so. `None`: all are run, and nothing has to be covered.
    pub enough: Option<usize>,
}

impl Plan {
    /// What the environment asks for: `HALLPASS_FAULT_SEED`,
    /// `HALLPASS_FAULT_ROUNDS`, and `HALLPASS_FAULT_ROUND` for one or some alone.
    pub fn from_env() -> Self {
        let seed = asked("HALLPASS_FAULT_SEED").unwrap_or(SEED);
        let rounds = asked("HALLPASS_FAULT_ROUNDS").unwrap_or(ROUNDS);
        let some = env::var("HALLPASS_FAULT_ROUND").ok();
        let some = some.map(|text| numbers(&text).unwrap_or_else(|| no_number(&text)));
        let all = rounds as u64;
        let enough = (some.is_none() && rounds >= Self::pairs().len()).then_some(rounds);
        let numbers = match (some, enough) {
            (Some(some), _) => some,
            (None, Some(_)) => 0..all * PATIENCE,
            (None, None) => 0..all,
        };
        Self {
            seed,
            numbers,
            enough,
        }
    }

    /// Every kind of blow with every kind of work.
    pub fn pairs() -> Vec<(Blow, Work)> {
        let works = Work::ALL.into_iter();
        works
            .flat_map(|work| Blow::ALL.map(|blow| (blow, work)))
            .collect()
    }
}

impl Round {
    /// All pairs in an order that is drawn, and then again in another.
    pub fn draw(seed: u64, number: u64) -> Self {
        let mut pairs = Plan::pairs();
        let count = pairs.len() as u64;
        let mut order = Draw(seed ^ (number / count));
        for last in (1..pairs.len()).rev() {
            pairs.swap(last, order.below(last + 1));
        }
        let mut draw = Draw(seed.rotate_left(32) ^ number);
        let (blow, work) = pairs[usize::try_from(number % count).unwrap()];
        Self {
            number,
            blow,
            work,
            point: Point {
                of: [
                    Measure::Time,
                    Measure::Time,
                    Measure::Requests,
                    Measure::Events,
                ][draw.below(4)],
                share: u32::try_from(draw.below(850)).unwrap(),
            },
            setup: [Setup::Cold, Setup::Warm, Setup::Shared][draw.below(3)],
            jar: draw.below(3) == 0,
            reads: draw.below(2) == 0,
            revokes: draw.below(2) == 0,
            pick: draw.below(1 << 20),
        }
    }
}

/// `SplitMix64`.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut drawn = self.0;
        drawn = (drawn ^ (drawn >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        drawn = (drawn ^ (drawn >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        drawn ^= drawn >> 31;
        usize::try_from(drawn % limit as u64).unwrap()
    }
}

fn asked<T: FromStr>(name: &str) -> Option<T> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| no_number(&text)))
}

/// `7`, or `7..9` for the seventh and the eighth.
fn numbers(text: &str) -> Option<Range<u64>> {
    let (first, end) = match text.split_once("..") {
        Some((first, end)) => (first.parse().ok()?, end.parse().ok()?),
        None => (text.parse().ok()?, text.parse::<u64>().ok()? + 1),
    };
    Some(first..end)
}

fn no_number<T>(text: &str) -> T {
    panic!("HALLPASS_FAULT_…: no number: {text}")
}

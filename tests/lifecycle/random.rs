//! Whatever is struck, in the middle of whatever is done: nothing lent is used
//! after its window, no process and no profile stays, the traces verify, and
//! the next start is clean.
//!
//! The rounds follow from `HALLPASS_FAULT_SEED`; `HALLPASS_FAULT_ROUNDS` says how
//! many blows must fall before the work is done, and `HALLPASS_FAULT_ROUND` runs
//! one round alone (`7`), or some (`7..9`). What was drawn is the same
//! then; when exactly the blow falls is the machine's.

#[path = "random/draw.rs"]
mod draw;
#[path = "random/hurt.rs"]
mod hurt;
#[path = "random/scene.rs"]
mod scene;
#[path = "random/work.rs"]
mod work;
#[path = "random/world.rs"]
mod world;

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    time::{Duration, Instant},
};

use tokio::{task::JoinHandle, time::timeout};

use self::{
    draw::{Blow, Measure, Plan, Point, Round, Setup},
    hurt::{Hurt, hit},
    scene::{Placed, Scene},
    work::{Done, Work},
    world::World,
};
use crate::{stage, support::api::Session};

/// Rounds after which all traces are verified, by the command.
const VERIFY_EVERY: u64 = 25;

/// What must become of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It has ended, for a reason with these words.
    Ends(&'static str),
    GoesOn,
    /// Whichever came first.
    Either,
}

/// What a work comes to when nothing is struck.
#[derive(Debug)]
struct Extent {
    time: Duration,
    requests: usize,
    events: usize,
}

impl Extent {
    fn so_far(world: &World, scene: &Scene) -> Self {
        Self {
            time: Duration::ZERO,
            requests: world.site.hits().len(),
            events: scene.pages[0].cdp.events().len(),
        }
    }
}

/// Says how to run a round again if it fails.
struct Told(u64, Round);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed, round) = self;
            eprintln!(
                "that was {round:?}; once more: HALLPASS_FAULT_SEED={seed} HALLPASS_FAULT_ROUND={} cargo test --test lifecycle random",
                round.number
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_is_struck_at_random_leaves_nothing_behind() {
    let plan = Plan::from_env();
    let begun = Instant::now();
    let mut world = World::new(Setup::Cold).await;
    let mut extents: HashMap<Work, Extent> = HashMap::new();
    let mut missing: HashSet<(Blow, Work)> = Plan::pairs().into_iter().collect();
    let (mut rounds, mut middles) = (0, 0);
    for number in plan.numbers.clone() {
        let round = Round::draw(plan.seed, number);
        let is_enough = plan.enough.is_some_and(|enough| middles >= enough);
        // From then on only what has not been struck yet is of interest.
        if is_enough && !missing.contains(&(round.blow, round.work)) {
            continue;
        }
        let _told = Told(plan.seed, round);
        if plan.enough.is_none() && round.blow != Blow::Broker && round.work != Work::Warm {
            world.set_up(round.setup);
        }
        if round.work == Work::Warm {
            world.set_up(Setup::Warm);
        }
        let extent = match extents.entry(round.work) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(undisturbed(&world, &round).await),
        };
        rounds += 1;
        if strike(&mut world, &round, extent).await {
            middles += 1;
            missing.remove(&(round.blow, round.work));
        }
        if rounds % VERIFY_EVERY == 0 {
            world.verified();
            println!(
                "{rounds} rounds, {middles} blows in the middle, {:?}",
                begun.elapsed()
            );
        }
    }
    world.verified();
    world.broker().assert_never_wrote(stage::VALUE);
    println!(
        "seed {}: {rounds} rounds, {middles} blows before the work was done, {:?}",
        plan.seed,
        begun.elapsed()
    );
    if let Some(enough) = plan.enough {
        assert!(
            middles >= enough,
            "only {middles} of {rounds} in the middle"
        );
        assert!(missing.is_empty(), "never in the middle: {missing:?}");
    }
}

/// Does the work with nothing struck: it is what it says, and comes to so much.
async fn undisturbed(world: &World, round: &Round) -> Extent {
    let scene = Scene::set(world, round).await;
    let (begun, before) = (Instant::now(), Extent::so_far(world, &scene));
    let done = timeout(stage::LIMIT, round.work.perform(scene.clone())).await;
    let after = Extent::so_far(world, &scene);
    assert!(matches!(done, Ok(Some(_))), "{:?}: {done:?}", round.work);
    let extent = Extent {
        time: begun.elapsed(),
        requests: after.requests - before.requests,
        events: after.events - before.events,
    };
    wind_up(world, round, scene, &[]).await;
    extent
}

/// One round; answers whether the work was not done yet.
async fn strike(world: &mut World, round: &Round, extent: &mut Extent) -> bool {
    let mut scene = Scene::set(world, round).await;
    let mut read = read_all(&scene).await;
    let known = scene.browsers();
    let begun = Instant::now();
    let mut work = tokio::spawn(round.work.perform(scene.clone()));
    let mut done = tokio::select! {
        done = &mut work => Some(done.unwrap()),
        () = reached(world, &scene, round.point, extent) => None,
    };
    if done.is_some() {
        // The first time may have been the slowest.
        extent.time = extent.time.min(begun.elapsed());
    }
    if round.reads && !round.work.ends() {
        read = read_all(&scene).await;
    }
    let in_the_middle = done.is_none() && !work.is_finished();
    let hurt = match round.blow {
        Blow::Broker => {
            let folder = world.crash();
            world.all_came().await;
            let before = world.lent(|_| true).len();
            let setup = if round.work == Work::Warm {
                Setup::Warm
            } else {
                round.setup
            };
            world.start(folder, setup);
            assert_eq!(world.lent(|_| true).len(), before, "after the broker's end");
            Hurt::default()
        }
        Blow::Agent => {
            work.abort();
            scene.cut();
            Hurt::default()
        }
        Blow::Browser | Blow::Process => hit(&scene, round, &known),
    };
    if done.is_none() {
        // A page that crashed may leave what it was asked unanswered.
        done = outcome(work, round.blow != Blow::Process).await;
    }
    let done = done.flatten();
    hurt.takes_effect();
    scene.cut();
    scene.now(world);
    let fates: Vec<Fate> = scene
        .placed
        .iter()
        .map(|placed| fate(round, &hurt, placed))
        .collect();
    for (placed, fate) in scene.placed.iter().zip(&fates) {
        meets(world, &scene, placed, *fate).await;
    }
    still_holds(&scene, done).await;
    // What the person agreed to is as it was: the agent starts over with it.
    // A revocation that nobody waits for any more comes when it comes.
    let stays = round.work != Work::Revoke && scene.phase(&scene.lent).await == "open";
    if stays && !fates.contains(&Fate::GoesOn) {
        let session = scene.start_over().await;
        works(world, &scene, &session).await;
    }
    wind_up(world, round, scene, &read).await;
    in_the_middle
}

async fn read_all(scene: &Scene) -> Vec<Vec<String>> {
    let mut read = Vec::new();
    for placed in &scene.placed {
        read.push(world::records(scene, placed).await);
    }
    read
}

async fn reached(world: &World, scene: &Scene, point: Point, extent: &Extent) {
    let share = |whole: usize| whole * point.share as usize / 1000 + 1;
    let so_far = Extent::so_far(world, scene);
    match point.of {
        Measure::Requests if extent.requests > 0 => {
            let enough = so_far.requests + share(extent.requests);
            world.site.until(|hits| hits.len() >= enough).await;
        }
        Measure::Events if extent.events > 0 => {
            let enough = so_far.events + share(extent.events);
            scene.pages[0].cdp.until_events(enough).await;
        }
        _ => tokio::time::sleep(extent.time * point.share / 1000).await,
    }
}

async fn outcome(mut work: JoinHandle<Option<Done>>, must: bool) -> Option<Option<Done>> {
    let patience = if must {
        stage::LIMIT
    } else {
        Duration::from_millis(200)
    };
    match timeout(patience, &mut work).await {
        Ok(Ok(done)) => Some(done),
        Ok(Err(error)) if error.is_cancelled() => None,
        Ok(Err(error)) => panic!("the work failed: {error}"),
        Err(_) => {
            work.abort();
            assert!(!must, "the work is left without an answer");
            None
        }
    }
}

fn fate(round: &Round, hurt: &Hurt, placed: &Placed) -> Fate {
    let is_hit = hurt.hits(placed);
    let fate = match round.blow {
        Blow::Broker => Fate::Ends(""),
        Blow::Browser if is_hit => Fate::Ends("browser"),
        // Without one of these it would live on and show nothing.
        Blow::Process if is_hit && hurt.is_mortal() => Fate::Ends("browser"),
        Blow::Process if is_hit && hurt.kind == "renderer" => Fate::GoesOn,
        // Chromium has another one, or cannot go on.
        Blow::Process if is_hit => Fate::Either,
        _ => Fate::GoesOn,
    };
    match fate {
        Fate::Ends(_) if round.work.ends() => Fate::Ends(""),
        _ if round.work.ends() => Fate::Either,
        fate => fate,
    }
}

async fn meets(world: &World, scene: &Scene, placed: &Placed, fate: Fate) {
    match fate {
        Fate::Either => {}
        Fate::GoesOn => works(world, scene, &placed.session).await,
        Fate::Ends(words) => {
            let begun = Instant::now();
            loop {
                let shown = scene.session(&placed.session.id).await;
                if shown["status"] == "ended" {
                    let reason = shown["reason"].as_str().unwrap();
                    assert!(reason.contains(words), "{reason}");
                    break;
                }
                assert!(begun.elapsed() < stage::LIMIT, "still there: {shown}");
            }
        }
    }
}

/// A session lets its agent in, and to the site as the person.
async fn works(world: &World, scene: &Scene, session: &Session) {
    let own = |path: &str| path.starts_with(&scene.path) && path.ends_with("/page");
    let before = world.lent(|hit| own(&hit.path)).len();
    scene.open(session).await;
    let after = world.lent(|hit| own(&hit.path)).len();
    assert!(after > before, "the page came without what was lent");
}

/// What was acknowledged is so, whatever came after it.
async fn still_holds(scene: &Scene, done: Option<Done>) {
    match done {
        None | Some(Done::Plainly) => {}
        Some(Done::Approved(id)) => assert_eq!(scene.phase(&id).await, "open"),
        Some(Done::Revoked) => assert_eq!(scene.phase(&scene.lent).await, "closed"),
        Some(Done::Ended) => {
            let shown = scene.session(&scene.placed[0].session.id).await;
            assert_eq!(shown["status"], "ended");
        }
    }
}

/// Ends the round's window and its sessions, and looks for what must not be.
async fn wind_up(world: &World, round: &Round, mut scene: Scene, read: &[Vec<String>]) {
    scene.cut();
    let is_open = scene.phase(&scene.lent).await == "open";
    if round.revokes && is_open {
        scene.operator.revoke(&scene.lent).await;
    }
    let listed = scene.by_agent.get("/v1/delegations").await;
    for delegation in listed["delegations"].as_array().unwrap() {
        if round.revokes && delegation["phase"] == "open" {
            scene
                .operator
                .revoke(delegation["id"].as_str().unwrap())
                .await;
        }
    }
    world::end_all(&scene).await;
    world.all_came().await;
    let before = world.lent(|_| true).len();
    world.nothing_is_left(&scene);
    world.traces_hold(&scene, read).await;
    // Also of earlier rounds, whose pages had time to go on.
    let own = format!("{}/", scene.path);
    let late = world.lent(|hit| !hit.path.starts_with(&own));
    assert!(late.is_empty(), "of a window that is over: {late:?}");
    assert_eq!(world.lent(|_| true).len(), before, "after the end");
    world.site.reset();
}

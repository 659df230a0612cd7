//! Sessions as the configuration wants them: which browser, how confined,
//! through which proxy.

use std::{collections::BTreeSet, io, sync::Arc, time::Duration};

use super::{CellSettings, HoldLimits, Limits, Most, SessionEvents, Sessions};
use crate::{
    browser::{
        cell::{CellSpec, DEFAULT_USERS},
        cell_exec::Layer,
        discover::{DiscoverError, discover},
        lock::DataLock,
        reap::reap_orphans,
        switches::Sandbox,
    },
    config::{Config, Isolation, Requirement},
    egress::{self, Egress, HostsError, Resolver},
    policy::Policies,
    policy_file::{self, PolicyFileError},
};

/// Longest time for a browser to get ready.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there can be no sessions.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No browser, or none that works.
    #[error(transparent)]
    Browser(#[from] DiscoverError),
    /// The bundle of policies cannot be used.
    #[error(transparent)]
    Policies(#[from] PolicyFileError),
    /// `egress.hosts` names something that is no host.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// What an earlier broker left cannot be looked through.
    #[error("the cells of an earlier broker cannot be cleared away")]
    Reap(#[source] io::Error),
    /// This program's own file is not known, so cells cannot be started.
    #[error("the path of this program is not known")]
    Launcher(#[source] io::Error),
}

/// Clears away what an earlier broker left in the folder, and begins to warm
/// cells. Also answers the proxy, to reserve the broker's own port with.
///
/// # Errors
/// See [`SetupError`].
pub async fn sessions(
    config: &Config,
    lock: &DataLock,
) -> Result<(Arc<Sessions>, SessionEvents, Egress), SetupError> {
    for reaped in reap_orphans(lock).map_err(SetupError::Reap)? {
        tracing::warn!(cell = %reaped.cell, killed = reaped.killed, problem = reaped.problem, "cleared away a cell that an earlier broker left");
    }
    let policies = Arc::new(Policies::new(policy_file::load(&config.policy)?));
    let browser = discover(config.browser.path.as_deref()).await?;
    let hosts = config.egress.hosts.clone().into_iter().collect();
    let egress = Egress::new(Resolver::new(hosts)?, egress::Limits::default());
    let launcher = match &config.cell.launcher {
        Some(launcher) => launcher.clone(),
        None => std::env::current_exe().map_err(SetupError::Launcher)?,
    };
    let settings = CellSettings {
        browser,
        data_dir: lock.folder().to_owned(),
        launcher,
        require: requirements(&config.cell.require),
        sandbox: Sandbox::On,
        users: config
            .cell
            .uids
            .map_or(DEFAULT_USERS, |(first, last)| first..=last),
        egress: egress.clone(),
        warm: config.cell.warm,
        share: match config.cell.isolation {
            Isolation::Process => None,
            Isolation::Shared => Some(count(config.cell.share)),
        },
        patience: PATIENCE,
    };
    let limits = Limits {
        sessions: count(config.session.max),
        grace: config.session.grace.0,
        holds: HoldLimits {
            patience: config.hold.patience.0,
            deadline: config.hold.deadline.0,
            most: count(config.hold.max),
        },
        connections: count(config.session.connections),
        most: Most {
            contexts: count(config.session.contexts),
            pages: count(config.session.pages),
            commands: count(config.session.commands),
        },
    };
    let (sessions, events) = Sessions::new(settings, limits, policies);
    Ok((sessions, events, egress))
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// The layers that must hold: all but Landlock, which older kernels lack, and
/// whatever the operator names. Without Chromium's own sandbox it never starts.
fn requirements(named: &[Requirement]) -> BTreeSet<Layer> {
    let mut layers = CellSpec::default_require();
    let landlock = [Layer::LandlockFiles, Layer::LandlockNetwork];
    layers.retain(|layer| !landlock.contains(layer));
    for requirement in named {
        match requirement {
            Requirement::Landlock => layers.extend(landlock),
            Requirement::Seccomp => layers.extend([Layer::Syscalls]),
            Requirement::User => layers.extend([Layer::User]),
            Requirement::Sandbox => {}
        }
    }
    layers
}

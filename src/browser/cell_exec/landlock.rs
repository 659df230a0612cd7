//! Landlock: which files, which ports, and nothing outside to signal.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, NetPort,
    PathBeneath, PathFd, RestrictionStatus, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, make_bitflags,
};

use super::{Confinement, Layer, Plan};

// The newest that the crate knows; what the kernel lacks is left out.
const NEWEST: ABI = ABI::V10;

const READ: &[&str] = &[
    "/usr",
    "/bin",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt/google",
    "/etc/alternatives",
    "/etc/chromium",
    "/etc/fonts",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/opt/chrome",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/var/cache/fontconfig",
    "/sys/devices/system/cpu",
];

/// Device nodes that hold nothing.
const DEVICES: &[&str] = &[
    "/dev/null",
    "/dev/zero",
    "/dev/full",
    "/dev/random",
    "/dev/urandom",
];

const LOADERS: &[&str] = &[
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-linux-riscv64-lp64d.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
];

/// Restricts this process for good.
pub(super) fn apply(plan: &Plan, done: &mut Confinement) {
    let asked: Vec<Layer> = [
        Layer::LandlockFiles,
        Layer::LandlockNetwork,
        Layer::LandlockScope,
    ]
    .into_iter()
    .filter(|layer| plan.layers.contains(layer))
    .collect();
    if asked.is_empty() {
        return;
    }
    let outcome = restrict(plan);
    let abi = match &outcome {
        Ok(status) if status.ruleset != RulesetStatus::NotEnforced => abi(status),
        _ => 0,
    };
    done.landlock_abi = abi;
    for layer in asked {
        let needed = match layer {
            Layer::LandlockNetwork => 4,
            Layer::LandlockScope => 6,
            _ => 1,
        };
        if abi >= needed {
            done.applied.insert(layer);
            continue;
        }
        let why = match &outcome {
            Err(error) => error.to_string(),
            Ok(_) if abi == 0 => "the kernel has no Landlock, or it is switched off".to_owned(),
            Ok(_) => format!("Landlock {abi} here, {needed} needed"),
        };
        done.missing.insert(layer, why);
    }
}

fn restrict(plan: &Plan) -> Result<RestrictionStatus, RulesetError> {
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::BestEffort);
    let files = plan.layers.contains(&Layer::LandlockFiles);
    let network = plan.layers.contains(&Layer::LandlockNetwork);
    if files {
        ruleset = ruleset.handle_access(AccessFs::from_all(NEWEST))?;
    }
    if network {
        ruleset = ruleset.handle_access(AccessNet::from_all(NEWEST))?;
    }
    if plan.layers.contains(&Layer::LandlockScope) {
        ruleset = ruleset.scope(Scope::from_all(NEWEST))?;
    }
    let mut ruleset = ruleset.create()?;
    if files {
        ruleset = add_files(ruleset, plan)?;
    }
    if network {
        for port in &plan.connect {
            ruleset = ruleset.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
        }
    }
    ruleset.restrict_self()
}

fn add_files(mut ruleset: RulesetCreated, plan: &Plan) -> Result<RulesetCreated, RulesetError> {
    let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    let device = make_bitflags!(AccessFs::{ReadFile | WriteFile});
    let run = make_bitflags!(AccessFs::{Execute | ReadFile | ReadDir});
    // Shared memory between the cell's processes: made, opened by name, removed.
    let shared = make_bitflags!(AccessFs::{ReadFile | WriteFile | MakeReg | RemoveFile | Truncate});
    // Written by Chromium's own sandbox: user and group maps, out-of-memory scores.
    let processes = make_bitflags!(AccessFs::{ReadFile | ReadDir | WriteFile});
    let own = AccessFs::from_all(NEWEST)
        & !make_bitflags!(AccessFs::{Execute | MakeChar | MakeBlock | IoctlDev});
    for path in READ {
        ruleset = add(ruleset, Path::new(path), read)?;
    }
    for path in DEVICES {
        ruleset = add(ruleset, Path::new(path), device)?;
    }
    for path in LOADERS
        .iter()
        .map(PathBuf::from)
        .chain(plan.execute.clone())
    {
        ruleset = add(ruleset, &path, run)?;
    }
    ruleset = add(ruleset, Path::new("/dev/shm"), shared)?;
    ruleset = add(ruleset, Path::new("/proc"), processes)?;
    if let Some(folder) = plan.program.parent() {
        ruleset = add(ruleset, folder, read)?;
    }
    add(ruleset, &plan.profile, own)
}

// What is not there needs no rule; what cannot be opened gets none.
fn add(
    ruleset: RulesetCreated,
    path: &Path,
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    let Ok(fd) = PathFd::new(path) else {
        return Ok(ruleset);
    };
    let access = if path.is_dir() {
        access
    } else {
        access & AccessFs::from_file(NEWEST)
    };
    ruleset.add_rule(PathBeneath::new(fd, access))
}

fn abi(status: &RestrictionStatus) -> u32 {
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi as u32,
        _ => 0,
    }
}

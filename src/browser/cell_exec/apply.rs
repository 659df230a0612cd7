//! The layers, in order. Each is either applied, or missing with a reason.

use std::{fs, io};

use nix::{
    sys::{
        prctl,
        resource::{Resource, setrlimit},
        signal::Signal,
        stat::{Mode, umask},
    },
    unistd::{Gid, Uid, getppid, getresgid, getresuid, setgroups, setresgid, setresuid, setsid},
};

use super::{CellExecError, Confinement, Layer, Plan, landlock, syscalls};

const LAST_DESCRIPTOR: i32 = 4;

/// How far pages stand back behind the broker where both want the processor: a
/// window must close in time though all the browsers are busy. Where the kernel
/// shares it by sessions, what a cell gets is the broker's part to say.
const NICE: i32 = 10;

/// Leaves the broker's session, group and terminal.
pub(super) fn own_session() -> io::Result<()> {
    setsid()?;
    Ok(())
}

/// Applies what the plan asks for, to this process.
pub(super) fn all(plan: &Plan) -> Result<Confinement, CellExecError> {
    let mut done = Confinement::default();
    umask(Mode::from_bits_truncate(0o077));
    if plan.layers.contains(&Layer::Descriptors) {
        note(&mut done, Layer::Descriptors, close_inherited());
    }
    if plan.layers.contains(&Layer::Limits) {
        note(&mut done, Layer::Limits, limit(plan));
    }
    match plan.user {
        // Never optional: as root, Chromium would be root.
        Some(user) => {
            drop_to(user).map_err(|source| CellExecError::Step {
                what: "become the cell's user",
                source,
            })?;
            done.applied.insert(Layer::User);
        }
        None if plan.layers.contains(&Layer::User) => {
            let why = "the broker does not run as root".to_owned();
            done.missing.insert(Layer::User, why);
        }
        None => {}
    }
    die_with(plan.broker)?;
    std::env::set_current_dir(&plan.profile).map_err(|source| CellExecError::Profile {
        uid: Uid::effective().as_raw(),
        folder: plan.profile.display().to_string(),
        source,
    })?;
    if plan.layers.contains(&Layer::NoNewPrivileges) {
        let set = prctl::set_no_new_privs().map_err(io::Error::from);
        note(&mut done, Layer::NoNewPrivileges, set);
    }
    landlock::apply(plan, &mut done);
    if plan.layers.contains(&Layer::Syscalls) {
        note(&mut done, Layer::Syscalls, syscalls::apply());
    }
    Ok(done)
}

fn note(done: &mut Confinement, layer: Layer, result: io::Result<()>) {
    match result {
        Ok(()) => {
            done.applied.insert(layer);
        }
        Err(error) => {
            done.missing.insert(layer, error.to_string());
        }
    }
}

fn close_inherited() -> io::Result<()> {
    let open: Vec<i32> = fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|fd| *fd > LAST_DESCRIPTOR)
        .collect();
    for fd in open {
        // The listing's own descriptor is closed by now: EBADF is no failure.
        let _ = nix::unistd::close(fd);
    }
    Ok(())
}

fn limit(plan: &Plan) -> io::Result<()> {
    let limits = plan.limits;
    let mut wanted = vec![
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NOFILE, limits.files),
        (Resource::RLIMIT_FSIZE, limits.file_bytes),
    ];
    // Counted per user: with the broker's own user it would count strangers.
    if plan.user.is_some() {
        wanted.push((Resource::RLIMIT_NPROC, limits.processes));
    }
    for (resource, wanted) in wanted {
        let (_, hard) = nix::sys::resource::getrlimit(resource)?;
        let value = wanted.min(hard);
        setrlimit(resource, value, value)?;
    }
    rustix::process::nice(NICE)?;
    Ok(())
}

fn drop_to(user: u32) -> io::Result<()> {
    if user == 0 {
        return Err(io::Error::other("a cell never runs as root"));
    }
    let (uid, gid) = (Uid::from_raw(user), Gid::from_raw(user));
    setgroups(&[])?;
    setresgid(gid, gid, gid)?;
    setresuid(uid, uid, uid)?;
    let (u, g) = (getresuid()?, getresgid()?);
    let all_dropped = [u.real, u.effective, u.saved] == [uid; 3]
        && [g.real, g.effective, g.saved] == [gid; 3]
        && nix::unistd::getgroups()?.iter().all(|group| *group == gid);
    if !all_dropped || nix::unistd::setuid(Uid::from_raw(0)).is_ok() {
        return Err(io::Error::other(
            "the kernel kept something of the former user",
        ));
    }
    Ok(())
}

// After the change of user, which clears it.
fn die_with(broker: u32) -> Result<(), CellExecError> {
    prctl::set_pdeathsig(Signal::SIGKILL).map_err(|errno| CellExecError::Step {
        what: "tie its life to the broker's",
        source: errno.into(),
    })?;
    if u32::try_from(getppid().as_raw()).ok() == Some(broker) {
        Ok(())
    } else {
        Err(CellExecError::NoBroker)
    }
}

//! What of the cell holds on this machine: `hallpass doctor`'s part on browsers.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::Path,
};

use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    cell::{AskError, Cell, CellSpec},
    cell_exec::Layer,
    discover::{self, Browser},
    install,
    process::Process,
};
use crate::model::id::CellId;

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What, in a word or two.
    pub name: &'static str,
    /// Whether it holds.
    pub holds: bool,
    /// What was seen.
    pub detail: String,
    /// What to do where it does not hold.
    pub mend: Option<String>,
}

/// Finds the browser, launches one cell in `data_dir` with nothing required, and
/// looks at what holds it in. `launcher` is the `hallpass` binary. Leaves nothing
/// behind.
pub async fn probe(configured: Option<&Path>, launcher: &Path, data_dir: &Path) -> Vec<Finding> {
    let browser = match discover::discover(configured).await {
        Ok(browser) => browser,
        Err(error) => {
            let mend = format!("run `{}`", install::command());
            return vec![finding("browser", Err(error.to_string()), || mend)];
        }
    };
    let seen = format!("{} at {}", browser.version, browser.path.display());
    let mut findings = vec![finding("browser", Ok(seen), String::new)];
    findings.extend(probe_cell(browser, launcher, data_dir).await);
    findings
}

async fn probe_cell(browser: Browser, launcher: &Path, data_dir: &Path) -> Vec<Finding> {
    let doctor = || "see the message; `hallpass doctor` again once mended".to_owned();
    let spec = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|deny| Ok((deny.local_addr()?.port(), deny)))
        .and_then(|(port, deny)| {
            let id = CellId::from_uuid(Uuid::now_v7());
            let mut spec = CellSpec::new(id, browser, data_dir, port, Vec::new())?;
            launcher.clone_into(&mut spec.launcher);
            spec.require.clear();
            Ok((spec, deny))
        });
    let (spec, _deny) = match spec {
        Ok(spec) => spec,
        Err(error) => return vec![finding("pipe", Err(error.to_string()), doctor)],
    };
    let mut cell = match Cell::launch(spec).await {
        Ok(cell) => cell,
        Err(error) => {
            let error = anyhow::Error::from(error);
            return vec![finding("pipe", Err(format!("{error:#}")), doctor)];
        }
    };
    let mut findings = vec![finding(
        "pipe",
        Ok(format!("{} answered over the pipe", cell.version.product)),
        String::new,
    )];
    findings.push(sandbox(&mut cell).await);
    findings.extend(Layer::ALL.into_iter().map(|layer| of_layer(&cell, layer)));
    let ended = cell.process.kill().await;
    findings.push(finding(
        "reaping",
        ended
            .map(|()| "every process and the folder of the cell are gone".to_owned())
            .map_err(|error| error.to_string()),
        || "look for processes in state D; restart the machine".to_owned(),
    ));
    findings
}

/// Whether a renderer is in a process namespace of its own and under filters
/// beyond the cell's: Chromium's own sandbox at work.
async fn sandbox(cell: &mut Cell) -> Finding {
    let seen = match open_page(cell).await {
        Ok(()) => sandbox_of(cell),
        Err(error) => Err(error.to_string()),
    };
    finding("sandbox", seen, || {
        "allow unprivileged user namespaces: `sysctl -w user.max_user_namespaces=15000`".to_owned()
    })
}

fn sandbox_of(cell: &Cell) -> Result<String, String> {
    let living = cell.process.mark().living();
    let renderer = living
        .iter()
        .find(|process| is_renderer(process))
        .ok_or("no renderer was seen")?;
    if namespaces(renderer.pid) < 2 {
        return Err("the renderer is in the same process namespace".to_owned());
    }
    if filters(renderer.pid) <= cell.process.pid().map_or(0, filters) {
        return Err("the renderer has no system call filter of its own".to_owned());
    }
    Ok("the renderer is in namespaces and filters of its own".to_owned())
}

async fn open_page(cell: &mut Cell) -> Result<(), AskError> {
    let page = cell
        .ask(
            2,
            None,
            "Target.createTarget",
            &json!({ "url": "about:blank" }),
        )
        .await?;
    let attach = json!({ "targetId": page.get("targetId"), "flatten": true });
    let attached = cell.ask(3, None, "Target.attachToTarget", &attach).await?;
    let session = attached
        .get("sessionId")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let script = json!({ "expression": "1" });
    cell.ask(4, Some(&session), "Runtime.evaluate", &script)
        .await
        .map(drop)
}

fn of_layer(cell: &Cell, layer: Layer) -> Finding {
    let (name, holds, mend) = match layer {
        Layer::Descriptors => (
            "descriptors",
            "nothing of the broker is inherited",
            "mount /proc",
        ),
        Layer::Limits => (
            "limits",
            "limits are set, core dumps are off",
            "raise the broker's own limits",
        ),
        Layer::User => (
            "user",
            "the cell has a user of its own",
            "run the broker as root, or give it CAP_SETUID, CAP_SETGID, CAP_CHOWN and CAP_KILL",
        ),
        Layer::NoNewPrivileges => (
            "no-new-privileges",
            "no program gains privileges",
            "use Linux 3.5 or later",
        ),
        Layer::LandlockFiles => (
            "landlock-files",
            "the cell writes its profile alone",
            "use Linux 5.13 or later with `landlock` in the `lsm=` list",
        ),
        Layer::LandlockNetwork => (
            "landlock-network",
            "the cell connects to its egress ports alone",
            "use Linux 6.7 or later",
        ),
        Layer::LandlockScope => (
            "landlock-scope",
            "the cell signals nobody outside",
            "use Linux 6.12 or later",
        ),
        Layer::Syscalls => (
            "syscalls",
            "no datagrams leave the cell",
            "use a kernel with CONFIG_SECCOMP_FILTER; in a container, allow `seccomp`",
        ),
    };
    let confinement = &cell.confinement;
    let seen = if confinement.applied.contains(&layer) {
        Ok(match confinement.landlock_abi {
            abi if name.starts_with("landlock") => format!("{holds} (Landlock {abi})"),
            _ => holds.to_owned(),
        })
    } else {
        let why = confinement.missing.get(&layer);
        Err(why.cloned().unwrap_or_else(|| "not applied".to_owned()))
    };
    finding(name, seen, || mend.to_owned())
}

fn finding(
    name: &'static str,
    seen: Result<String, String>,
    mend: impl FnOnce() -> String,
) -> Finding {
    let (holds, detail) = match seen {
        Ok(detail) => (true, detail),
        Err(detail) => (false, detail),
    };
    Finding {
        name,
        holds,
        detail,
        mend: (!holds).then(mend),
    }
}

fn is_renderer(process: &Process) -> bool {
    fs::read(format!("/proc/{}/cmdline", process.pid)).is_ok_and(|bytes| {
        bytes
            .split(|byte| *byte == 0 || *byte == b' ')
            .any(|word| word == b"--type=renderer")
    })
}

fn namespaces(pid: i32) -> usize {
    status(pid, "NSpid:").split_ascii_whitespace().count()
}

fn filters(pid: i32) -> u32 {
    status(pid, "Seccomp_filters:").trim().parse().unwrap_or(0)
}

fn status(pid: i32, name: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/status"))
        .ok()
        .and_then(|text| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.to_owned())
        })
        .unwrap_or_default()
}

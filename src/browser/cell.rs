//! One confined Chromium process, from launch to the end of everything of it.

mod folder;
mod process;
mod share;
mod spawn;
mod user;
mod vital;

use std::{
    collections::BTreeSet,
    io,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{task::spawn_blocking, time::timeout};

pub use folder::{CellFolder, CellRecord, FolderError, passable};
pub use process::{CellProcess, KillError};
pub use user::{Claim, ClaimError, DEFAULT_USERS};

use super::{
    cell_exec::{Confinement, Layer, Limits, Plan},
    discover::{Browser, is_binary},
    pipe::{PipeError, PipeReader, PipeWriter},
    process::CellUser,
    switches::{Sandbox, Switchboard, switches},
};
use crate::model::id::CellId;

/// What to launch, and how confined.
#[derive(Debug, Clone)]
pub struct CellSpec {
    /// Names the cell and its folder.
    pub id: CellId,
    /// The browser.
    pub browser: Browser,
    /// The broker's data folder.
    pub data_dir: PathBuf,
    /// The `hallpass` binary, which becomes the launcher.
    pub launcher: PathBuf,
    /// A loopback port whose proxy refuses everything.
    pub deny_port: u16,
    /// The loopback ports of the egress proxies, beside the deny port: all that
    /// the cell may connect to.
    pub egress_ports: Vec<u16>,
    /// Layers without which it must not start.
    pub require: BTreeSet<Layer>,
    /// Chromium's own sandbox.
    pub sandbox: Sandbox,
    /// Resource limits.
    pub limits: Limits,
    /// Where the cell's user is taken from, when the broker is root.
    pub users: RangeInclusive<u32>,
    /// How long the browser may take to answer.
    pub timeout: Duration,
    /// `LANG`.
    pub language: String,
    /// `TZ`.
    pub timezone: String,
}

/// What the browser says it is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Version {
    /// Such as `Chrome/156.0.8078.79`.
    pub product: String,
    /// Of the protocol, such as `1.3`.
    pub protocol_version: String,
    /// Source revision.
    pub revision: String,
    /// The header that it sends.
    pub user_agent: String,
    /// Of V8.
    pub js_version: String,
}

/// A running cell. Dropping it ends it; better call [`CellProcess::kill`].
#[derive(Debug)]
pub struct Cell {
    /// Its name.
    pub id: CellId,
    /// What answered.
    pub version: Version,
    /// What holds it in.
    pub confinement: Confinement,
    /// What the browser says.
    pub reader: PipeReader,
    /// What the browser is told.
    pub writer: PipeWriter,
    /// Its processes.
    pub process: CellProcess,
}

/// Why there is no cell. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// No user for it.
    #[error("no user for the cell")]
    User(#[from] ClaimError),
    /// No folder for it.
    #[error("no folder for the cell")]
    Folder(#[from] FolderError),
    /// The launcher could not be started.
    #[error("cannot start the launcher `{}`; it must be the `hallpass` binary", launcher.display())]
    Spawn {
        /// Which.
        launcher: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The launcher would not become the browser.
    #[error("the cell was not confined as required: {0}")]
    Refused(String),
    /// The browser or the launcher ended.
    #[error("the browser ended while starting ({status}); {advice}\n{}", tail.join("\n"))]
    Ended {
        /// How.
        status: String,
        /// What to do.
        advice: &'static str,
        /// The last lines of its standard error.
        tail: Vec<String>,
    },
    /// It did not answer in time.
    #[error("the browser did not answer within {} s; {advice}\n{}", after.as_secs(), tail.join("\n"))]
    Silent {
        /// How long was waited.
        after: Duration,
        /// What to do.
        advice: &'static str,
        /// The last lines of its standard error.
        tail: Vec<String>,
    },
    /// What it answered was not `DevTools`.
    #[error("the browser does not speak the DevTools protocol: {reason}; {advice}\n{}", tail.join("\n"))]
    Protocol {
        /// What was wrong.
        reason: String,
        /// What to do.
        advice: &'static str,
        /// The last lines of its standard error.
        tail: Vec<String>,
    },
}

/// Why a question to the browser has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// The pipe broke.
    #[error(transparent)]
    Pipe(#[from] PipeError),
    /// The browser closed the pipe.
    #[error("the browser closed the pipe; the cell has ended")]
    Closed,
    /// It is no message.
    #[error("the browser sent something that is no message")]
    NotMessage(#[source] serde_json::Error),
    /// The browser answered with an error.
    #[error("the browser refused: `{0}`")]
    Refused(String),
}

// === impl CellSpec ===

impl CellSpec {
    /// Fully confined, every layer required that can hold here, with this
    /// process's own binary as launcher.
    ///
    /// # Errors
    /// The path of the running binary is not known.
    pub fn new(
        id: CellId,
        browser: Browser,
        data_dir: &Path,
        deny_port: u16,
        egress_ports: Vec<u16>,
    ) -> io::Result<Self> {
        Ok(Self {
            id,
            browser,
            data_dir: data_dir.to_owned(),
            launcher: std::env::current_exe()?,
            deny_port,
            egress_ports,
            require: Self::default_require(),
            sandbox: Sandbox::On,
            limits: Limits::default(),
            users: DEFAULT_USERS,
            timeout: Duration::from_secs(30),
            language: "C.UTF-8".to_owned(),
            timezone: "UTC".to_owned(),
        })
    }

    /// Every layer but `user` where the broker is not root, and but
    /// `landlock-scope`, which needs Linux 6.12.
    #[must_use]
    pub fn default_require() -> BTreeSet<Layer> {
        let root = is_root();
        Layer::ALL
            .into_iter()
            .filter(|layer| match layer {
                Layer::User => root,
                Layer::LandlockScope => false,
                _ => true,
            })
            .collect()
    }

    fn plan(&self, profile: &Path, user: Option<u32>) -> Plan {
        let program = self.browser.path.clone();
        // A wrapper is a shell script: it needs a shell and what that calls. What
        // lies beside a binary, such as a crash handler, is not executed.
        let mut execute = vec![program.clone()];
        if !is_binary(&program) {
            execute.extend(["/usr", "/bin", "/opt/google"].map(PathBuf::from));
        }
        let mut connect = self.egress_ports.clone();
        connect.push(self.deny_port);
        Plan {
            broker: std::process::id(),
            program,
            arguments: switches(&Switchboard {
                kind: self.browser.kind,
                profile,
                deny_port: self.deny_port,
                sandbox: self.sandbox,
            }),
            profile: profile.to_owned(),
            user,
            execute,
            connect,
            layers: Layer::ALL.into_iter().collect(),
            require: self.require.clone(),
            limits: self.limits,
            language: self.language.clone(),
            timezone: self.timezone.clone(),
        }
    }
}

// === impl Cell ===

impl Cell {
    /// Launches a browser and waits until it answers. Message id 1 is used up.
    ///
    /// # Errors
    /// It could not be started, confined as required, or did not answer.
    pub async fn launch(spec: CellSpec) -> Result<Self, LaunchError> {
        Self::launch_with(spec, |_| {}).await
    }

    /// [`launch`](Self::launch) with a last change to the plan: to measure what a
    /// layer or a switch does by leaving it out.
    ///
    /// # Errors
    /// As `launch`.
    pub async fn launch_with(
        spec: CellSpec,
        change: impl FnOnce(&mut Plan),
    ) -> Result<Self, LaunchError> {
        if spec.sandbox == Sandbox::OffForDevelopment {
            tracing::error!(
                cell = %spec.id,
                "Chromium's own sandbox is OFF for this cell: for development only, a hostile page owns the cell's process"
            );
        }
        let (claim, folder) = prepare(&spec).await?;
        let user = claim.as_ref().map(Claim::user);
        let mut plan = spec.plan(&folder.profile(), user.map(CellUser::number));
        change(&mut plan);
        let mut starting = spawn::spawn(&spec.launcher, spec.id, &plan, folder, claim).await?;
        let met = timeout(spec.timeout, starting.meet()).await;
        match met {
            Ok(Ok((confinement, version))) => {
                tracing::info!(cell = %spec.id, version = %version.product, ?user, "cell launched");
                for (layer, why) in &confinement.missing {
                    tracing::warn!(cell = %spec.id, %layer, %why, "a layer of the cell does not hold");
                }
                let cell = starting.into_cell(version, confinement);
                cell.process.share();
                cell.process.watch(spec.id).await;
                Ok(cell)
            }
            Ok(Err(failure)) => Err(starting.fail(failure).await),
            Err(_) => Err(starting.fail(spawn::Failure::Silent(spec.timeout)).await),
        }
    }

    /// Asks the browser one thing and waits for the answer; what else it says
    /// meanwhile is dropped. For the time before pumps own the pipe. `id` must
    /// be fresh and above 1.
    ///
    /// # Errors
    /// The pipe broke, or the browser refused.
    pub async fn ask(
        &mut self,
        id: u64,
        session: Option<&str>,
        method: &str,
        params: &Value,
    ) -> Result<Value, AskError> {
        ask(
            &mut self.reader,
            &mut self.writer,
            id,
            session,
            method,
            params,
        )
        .await
    }
}

async fn prepare(spec: &CellSpec) -> Result<(Option<Claim>, CellFolder), LaunchError> {
    let (users, data, id) = (spec.users.clone(), spec.data_dir.clone(), spec.id);
    spawn_blocking(move || {
        let claim = if is_root() {
            Some(Claim::any(&users)?)
        } else {
            None
        };
        let folder = CellFolder::make(&data, id, claim.as_ref().map(Claim::user))?;
        Ok((claim, folder))
    })
    .await
    .unwrap_or_else(|error| Err(ClaimError::Folder(io::Error::other(error)).into()))
}

async fn ask(
    reader: &mut PipeReader,
    writer: &mut PipeWriter,
    id: u64,
    session: Option<&str>,
    method: &str,
    params: &Value,
) -> Result<Value, AskError> {
    #[derive(Deserialize)]
    struct Answer {
        id: Option<u64>,
        result: Option<Value>,
        error: Option<Value>,
    }
    let mut question = json!({ "id": id, "method": method, "params": params });
    if let (Some(session), Some(object)) = (session, question.as_object_mut()) {
        object.insert("sessionId".to_owned(), session.into());
    }
    writer.send(question.to_string().as_bytes()).await?;
    while let Some(message) = reader.next().await? {
        let answer: Answer = serde_json::from_slice(&message).map_err(AskError::NotMessage)?;
        if answer.id != Some(id) {
            continue;
        }
        return match (answer.result, answer.error) {
            (Some(result), None) => Ok(result),
            (_, error) => Err(AskError::Refused(error.unwrap_or_default().to_string())),
        };
    }
    Err(AskError::Closed)
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

/// Two pipes: the browser's ends are plain, the broker's are the runtime's.
fn ends() -> io::Result<(io::PipeReader, PipeWriter, PipeReader, io::PipeWriter)> {
    let (theirs_in, ours_out) = io::pipe()?;
    let (ours_in, theirs_out) = io::pipe()?;
    Ok((
        theirs_in,
        PipeWriter::new(ours_out.into())?,
        PipeReader::new(ours_in.into())?,
        theirs_out,
    ))
}

//! Files that pass between the API and a session's browser: handed in for a
//! page to be given, and what pages gave for download.
//!
//! ```text
//! <profile>/uploads/<id>/<name>   the broker's, 0444: the cell may read it
//! <profile>/downloads/<guid>      the cell's
//! ```
//! Where sessions share a cell, both folders have the place's number behind their
//! names.
//! The profile is the cell's to write, and so to lay traps in: no link is
//! followed, and nothing is written but below a folder of the broker's own.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2},
    sys::stat::{Mode, fchmod, fstat, mkdirat},
    unistd::geteuid,
};
use tokio::sync::oneshot;

use super::{Order, Running};
use crate::{
    cdp::{
        hub::{Download, DownloadState},
        scan::Scanner,
    },
    clock::Clock,
    random::random_uuid_v7,
    trace::record::{Actor, Draft, Event},
};

/// Most bytes of one file handed in.
pub const UPLOAD_LIMIT: usize = 64 << 20;
/// Most files handed in to a session.
const MOST_UPLOADS: usize = 100;
/// Most bytes of all of them.
const UPLOADS_LIMIT: usize = 256 << 20;
/// Most bytes of a download that is handed out.
const DOWNLOAD_LIMIT: u64 = 256 << 20;
/// Longest name of a file handed in; file systems take 255 bytes.
const LONGEST_NAME: usize = 200;

/// Longest path that a client may call a file by.
const LONGEST_PATH: usize = 4096;

/// A file handed in.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Upload {
    /// What `DOM.setFileInputFiles` takes for it.
    pub path: String,
    /// The name that a page sees.
    pub name: String,
    /// Its length.
    pub bytes: usize,
}

/// Why a file does not pass.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The session is over, or was ending.
    #[error("the session is over, and its files with it")]
    Over,
    /// No download has that id.
    #[error("the session has no download with that id")]
    Unknown,
    /// It is not whole.
    #[error("that download is {0}; only completed ones can be fetched")]
    NotWhole(&'static str),
    /// A client's path that is none.
    #[error("an absolute path of at most {LONGEST_PATH} bytes is expected")]
    Path,
    /// More than a session may have.
    #[error("{0}")]
    Limit(String),
    /// It cannot be put on record.
    #[error("it could not be put on record")]
    Unrecorded,
    /// The file system refused.
    #[error("the file cannot be read or written")]
    Io(#[from] io::Error),
}

/// What a driver tells of its session's downloads.
#[derive(Debug)]
pub(crate) struct Downloads {
    pub(crate) list: Vec<Download>,
    /// Blanks lent values in what is handed out.
    pub(crate) scanner: Option<Arc<Scanner>>,
}

/// Where the files of one session lie.
#[derive(Debug, Clone)]
pub(crate) struct Folders {
    profile: Arc<Path>,
    uploads: String,
    downloads: String,
}

/// The files of one session.
#[derive(Debug)]
pub(crate) struct Files {
    folders: Folders,
    handed_in: Mutex<(usize, usize)>,
}

impl Running {
    /// Hands a file in. `name` is what pages see, without the folders in it;
    /// `path` what the client calls it, if it has a name for it.
    ///
    /// # Errors
    /// See [`FileError`].
    pub async fn upload(
        &self,
        by: Actor,
        name: &str,
        path: Option<String>,
        bytes: Bytes,
    ) -> Result<Upload, FileError> {
        if path.as_deref().is_some_and(|path| !is_path(path)) {
            return Err(FileError::Path);
        }
        let name = path.as_deref().filter(|_| name.is_empty()).unwrap_or(name);
        self.files.count(bytes.len())?;
        let (name, length) = (sanitised(name), bytes.len());
        let id = random_uuid_v7().map_err(|error| io::Error::other(error.to_string()))?;
        let upload = Upload {
            // A word in a list of ours; nothing is opened by it.
            path: path.unwrap_or_else(|| format!("/hallpass/uploads/{id}/{name}")),
            name: name.clone(),
            bytes: length,
        };
        let detail = format!("{name}, {length} bytes");
        self.note(by, "was handed a file:", detail)?;
        let folders = self.files.folders.clone();
        let real = blocking(move || put(&folders, &id.to_string(), &name, &bytes)).await?;
        let (answer, known) = oneshot::channel();
        self.order(Order::Uploaded {
            path: upload.path.clone(),
            real: real.display().to_string(),
            answer,
        });
        known.await.map_err(|_| FileError::Over)?;
        Ok(upload)
    }

    /// What pages gave for download, oldest first.
    ///
    /// # Errors
    /// The session is over.
    pub async fn downloads(&self) -> Result<Vec<Download>, FileError> {
        Ok(self.told_downloads().await?.list)
    }

    /// The bytes of a completed download, lent values in them blanked.
    ///
    /// # Errors
    /// See [`FileError`].
    pub async fn download(&self, by: Actor, guid: &str) -> Result<(Download, Vec<u8>), FileError> {
        let told = self.told_downloads().await?;
        let download = told
            .list
            .into_iter()
            .find(|download| download.guid == guid)
            .ok_or(FileError::Unknown)?;
        if download.state != DownloadState::Completed {
            return Err(FileError::NotWhole(download.state.as_str()));
        }
        // Without it nothing may leave.
        let scanner = told.scanner.ok_or(FileError::Over)?;
        let (folders, name) = (self.files.folders.clone(), download.guid.clone());
        let (bytes, blanked) = blocking(move || {
            let mut bytes = take(&folders, &name)?;
            let blanked = scanner.blank(&mut bytes);
            Ok((bytes, blanked))
        })
        .await?;
        let detail = format!("{}, {} bytes", download.name, bytes.len());
        self.note(by, "was asked for a download:", detail)?;
        if blanked > 0 {
            let event = Event::Redaction {
                method: "download".to_owned(),
                count: blanked,
            };
            self.put_down(Actor::Broker, event)?;
        }
        Ok((download, bytes))
    }

    async fn told_downloads(&self) -> Result<Downloads, FileError> {
        let (answer, told) = oneshot::channel();
        self.order(Order::Downloads(answer));
        told.await.map_err(|_| FileError::Over)
    }

    fn note(&self, by: Actor, what: &str, detail: String) -> Result<(), FileError> {
        let event = Event::Client {
            what: what.to_owned(),
            connection: 0,
            detail,
        };
        self.put_down(by, event)
    }

    fn put_down(&self, actor: Actor, event: Event) -> Result<(), FileError> {
        let at = Clock.now().wall;
        let recorded = self.recorder.record(Draft { at, actor, event });
        recorded.map(drop).map_err(|_| FileError::Unrecorded)
    }
}

impl Folders {
    /// Of the one session of a cell.
    pub(crate) fn below(profile: Arc<Path>) -> Self {
        Self {
            profile,
            uploads: "uploads".to_owned(),
            downloads: "downloads".to_owned(),
        }
    }

    /// Of one of several, by its number.
    pub(crate) fn of_place(profile: Arc<Path>, number: usize) -> Self {
        Self {
            profile,
            uploads: format!("uploads-{number}"),
            downloads: format!("downloads-{number}"),
        }
    }

    /// Where the browser puts downloads.
    pub(crate) fn downloads(&self) -> String {
        self.profile.join(&self.downloads).display().to_string()
    }

    pub(crate) fn all(&self) -> [PathBuf; 2] {
        [&self.uploads, &self.downloads].map(|name| self.profile.join(name))
    }
}

impl Files {
    pub(crate) const fn of(folders: Folders) -> Self {
        Self {
            folders,
            handed_in: Mutex::new((0, 0)),
        }
    }

    fn count(&self, bytes: usize) -> Result<(), FileError> {
        let mut counted = self
            .handed_in
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (files, all) = *counted;
        if files >= MOST_UPLOADS || all.saturating_add(bytes) > UPLOADS_LIMIT {
            return Err(FileError::Limit(format!(
                "a session takes at most {MOST_UPLOADS} files of {UPLOADS_LIMIT} bytes together; start another one"
            )));
        }
        *counted = (files + 1, all + bytes);
        drop(counted);
        Ok(())
    }
}

/// Whether a client may call a file so: as an absolute path of Unix or Windows.
fn is_path(path: &str) -> bool {
    let drive = || matches!(path.as_bytes(), [drive, b':', b'\\' | b'/', ..] if drive.is_ascii_alphabetic());
    path.len() <= LONGEST_PATH
        && !path.chars().any(char::is_control)
        && (path.starts_with('/') || path.starts_with(r"\\") || drive())
}

/// A name without folders and control characters, short enough for a file.
fn sanitised(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut clean = String::with_capacity(last.len());
    for c in last.chars().filter(|c| !c.is_control()) {
        if clean.len() + c.len_utf8() > LONGEST_NAME {
            break;
        }
        clean.push(c);
    }
    let clean = clean.trim();
    if clean.trim_matches('.').is_empty() {
        "file".to_owned()
    } else {
        clean.to_owned()
    }
}

fn put(folders: &Folders, id: &str, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let profile = folder(AT_FDCWD, &folders.profile)?;
    let uploads = own_folder(&profile, Path::new(&folders.uploads))?;
    let place = own_folder(&uploads, Path::new(id))?;
    let how = OpenHow::new()
        .flags(OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_CLOEXEC)
        .mode(Mode::from_bits_truncate(0o600))
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_BENEATH);
    let mut file = File::from(openat2(&place, name, how)?);
    file.write_all(bytes)?;
    fchmod(&file, Mode::from_bits_truncate(0o444))?;
    let below = folders.profile.join(&folders.uploads);
    Ok(below.join(id).join(name))
}

/// A folder of the broker's own that others may pass through.
fn own_folder(parent: &OwnedFd, name: &Path) -> io::Result<OwnedFd> {
    match mkdirat(parent, name, Mode::from_bits_truncate(0o711)) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(error) => return Err(error.into()),
    }
    let folder = folder(parent, name)?;
    if fstat(&folder)?.st_uid != geteuid().as_raw() {
        return Err(io::Error::other("the folder of uploads belongs to another"));
    }
    fchmod(&folder, Mode::from_bits_truncate(0o711))?;
    Ok(folder)
}

fn folder(parent: impl std::os::fd::AsFd, name: &Path) -> io::Result<OwnedFd> {
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS);
    Ok(openat2(parent, name, how)?)
}

fn take(folders: &Folders, guid: &str) -> io::Result<Vec<u8>> {
    let profile = folder(AT_FDCWD, &folders.profile)?;
    let downloads = folder(&profile, Path::new(&folders.downloads))?;
    let how = OpenHow::new()
        .flags(OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC)
        .resolve(ResolveFlag::RESOLVE_NO_SYMLINKS | ResolveFlag::RESOLVE_BENEATH);
    let file = File::from(openat2(&downloads, guid, how)?);
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("the download is no file"));
    }
    if meta.len() > DOWNLOAD_LIMIT {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    let mut bytes = Vec::new();
    file.take(DOWNLOAD_LIMIT).read_to_end(&mut bytes)?;
    Ok(bytes)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, FileError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|_| io::Error::other("the work was broken off"))?;
    done.map_err(|error| match error.kind() {
        io::ErrorKind::FileTooLarge => FileError::Limit(format!(
            "the download is larger than the {DOWNLOAD_LIMIT} bytes that are handed out"
        )),
        _ => FileError::Io(error),
    })
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;

    #[test]
    fn names_are_names_and_nothing_else() {
        for (given, name) in [
            ("a.txt", "a.txt"),
            ("../../etc/passwd", "passwd"),
            ("C:\\x\\y.doc", "y.doc"),
            ("a\0b\nc", "abc"),
            ("..", "file"),
            ("", "file"),
            ("x/", "file"),
            (" für Ärzte.pdf ", "für Ärzte.pdf"),
        ] {
            assert_eq!(sanitised(given), name, "{given:?}");
        }
        assert_eq!(sanitised(&"ä".repeat(500)).len(), LONGEST_NAME);
    }

    #[test]
    fn a_client_calls_a_file_by_an_absolute_path() {
        for path in ["/home/a/b.txt", r"C:\a\b.txt", "c:/a", r"\\host\a"] {
            assert!(is_path(path), "{path:?}");
        }
        let long = format!("/{}", "a".repeat(LONGEST_PATH));
        for path in ["", "b.txt", "a/b.txt", "../b", "C:", "1:/a", "/a\n", &long] {
            assert!(!is_path(path), "{path:?}");
        }
    }

    #[test]
    fn no_link_is_followed_on_the_way_in_or_out() {
        let profile = tempfile::tempdir().unwrap();
        let (profile, other) = (
            profile.path().canonicalize().unwrap(),
            tempfile::tempdir().unwrap(),
        );
        let folders = Folders::below(profile.as_path().into());
        fs::write(other.path().join("guid"), "not the session's").unwrap();

        let real = put(&folders, "1", "a.txt", b"bytes").unwrap();
        assert_eq!(fs::read(real).unwrap(), b"bytes");
        assert!(put(&folders, "1", "a.txt", b"more").is_err(), "not twice");
        fs::remove_dir_all(profile.join("uploads")).unwrap();
        symlink(other.path(), profile.join("uploads")).unwrap();
        assert!(put(&folders, "2", "a.txt", b"bytes").is_err());
        assert!(!other.path().join("2").exists());

        symlink(other.path(), profile.join("downloads")).unwrap();
        assert!(take(&folders, "guid").is_err());
        fs::remove_file(profile.join("downloads")).unwrap();
        fs::create_dir(profile.join("downloads")).unwrap();
        symlink(other.path().join("guid"), profile.join("downloads/guid")).unwrap();
        assert!(take(&folders, "guid").is_err());
        fs::write(profile.join("downloads/own"), "own").unwrap();
        assert_eq!(take(&folders, "own").unwrap(), b"own");
        assert!(take(&folders, "../downloads/own").is_err());
    }

    #[test]
    fn a_session_takes_so_many_files_and_bytes() {
        let files = Files::of(Folders::below(Path::new("/").into()));
        assert!(files.count(UPLOADS_LIMIT + 1).is_err());
        for _ in 0..MOST_UPLOADS {
            files.count(1).unwrap();
        }
        assert!(matches!(files.count(1), Err(FileError::Limit(_))));
    }
}

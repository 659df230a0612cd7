//! The wrapping key and its file: what a person backs up, and what opens the
//! vault's data key.

use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::Path,
    str::FromStr,
};

use data_encoding::{BASE64, HEXLOWER};
use nix::{fcntl::OFlag, unistd::geteuid};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::error::VaultError;
use crate::random::{random_bytes, random_secret};

const PREFIX: &str = "hallpass-key-v1:";

/// The key that wraps the vault's data key; kept in the key file alone.
pub struct WrappingKey {
    bytes: Zeroizing<[u8; 32]>,
    id: KeyId,
}

/// Names a wrapping key without telling it: the first 8 bytes of a hash.
///
/// In text and JSON: 16 hex digits, lower case.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 8]);

/// The text is not 16 hex digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key id is 16 lower-case hex digits")]
pub struct KeyIdError;

// === impl WrappingKey ===

impl WrappingKey {
    /// Opens the key file, or makes one at first start.
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(path: &Path) -> Result<Self, VaultError> {
        match Self::open(path) {
            Err(VaultError::KeyFile { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                match Self::create(path) {
                    // Another process was first: its key is the one.
                    Err(VaultError::KeyFile { source, .. })
                        if source.kind() == io::ErrorKind::AlreadyExists =>
                    {
                        Self::open(path)
                    }
                    made => made,
                }
            }
            opened => opened,
        }
    }

    /// Opens the key file.
    ///
    /// # Errors
    /// It cannot be read, is no regular file, belongs to another user, is
    /// accessible to group or others, or is malformed.
    pub fn open(path: &Path) -> Result<Self, VaultError> {
        let unreadable = |source| VaultError::KeyFile {
            path: path.to_owned(),
            doing: "read",
            source,
        };
        // Without O_NONBLOCK, opening a FIFO would wait for a writer for ever.
        let file = OpenOptions::new()
            .read(true)
            .custom_flags(OFlag::O_NONBLOCK.bits())
            .open(path)
            .map_err(unreadable)?;
        check_access(path, &file, unreadable)?;
        let mut text = Zeroizing::new([0_u8; 256]);
        let text = read_all(file, text.as_mut_slice()).map_err(unreadable)?;
        Self::parse(text).ok_or_else(|| VaultError::KeyFileMalformed {
            path: path.to_owned(),
        })
    }

    /// Draws a key and writes its file, mode 0600, durably; an existing file is
    /// never touched.
    ///
    /// # Errors
    /// The file exists or cannot be written, or there is no randomness.
    pub fn create(path: &Path) -> Result<Self, VaultError> {
        let key = Self::of_bytes(random_secret()?);
        let suffix = HEXLOWER.encode(&random_bytes::<8>()?);
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".new-{suffix}"));
        let fresh = path.with_file_name(name);
        // Written aside and linked into place, so that a start that is
        // interrupted leaves no half of a key under the real name.
        let written = key.write(&fresh).and_then(|()| fs::hard_link(&fresh, path));
        let removed = fs::remove_file(&fresh);
        written
            .and(removed)
            .and_then(|()| sync_folder(path))
            .map_err(|source| VaultError::KeyFile {
                path: path.to_owned(),
                doing: "created",
                source,
            })?;
        Ok(key)
    }

    /// Names this key without telling it.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }

    fn of_bytes(bytes: Zeroizing<[u8; 32]>) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"hallpass key id v1\0");
        hash.update(bytes.as_slice());
        let digest: [u8; 32] = hash.finalize().into();
        let mut id = [0; 8];
        id.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        Self {
            bytes,
            id: KeyId(id),
        }
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text = text.strip_suffix(b"\n").unwrap_or(text);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        let body = text.strip_prefix(PREFIX.as_bytes())?;
        if body.len() != 44 {
            return None;
        }
        let mut decoded = Zeroizing::new([0; 33]);
        let length = BASE64.decode_mut(body, decoded.as_mut_slice()).ok()?;
        let mut bytes = Zeroizing::new([0; 32]);
        if length != bytes.len() {
            return None;
        }
        bytes
            .iter_mut()
            .zip(decoded.iter())
            .for_each(|(to, from)| *to = *from);
        Some(Self::of_bytes(bytes))
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let mut line = Zeroizing::new(String::with_capacity(64));
        line.push_str(PREFIX);
        BASE64.encode_append(self.bytes.as_slice(), &mut line);
        line.push('\n');
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(line.as_bytes())?;
        file.sync_all()
    }
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrappingKey({}, [secret])", self.id)
    }
}

// === impl KeyId ===

impl KeyId {
    pub(super) const fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| KeyIdError)?;
        bytes.try_into().map(Self).map_err(|_| KeyIdError)
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

// === files ===

fn check_access(
    path: &Path,
    file: &File,
    unreadable: impl FnOnce(io::Error) -> VaultError,
) -> Result<(), VaultError> {
    // Asked of the open file, not of the path: nothing can be swapped between.
    let metadata = file.metadata().map_err(unreadable)?;
    let path = path.to_owned();
    if !metadata.is_file() {
        return Err(VaultError::KeyFileKind { path });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(VaultError::KeyFileExposed { path, mode });
    }
    let owner = metadata.uid();
    if owner != geteuid().as_raw() && owner != 0 {
        return Err(VaultError::KeyFileOwner { path, owner });
    }
    Ok(())
}

/// Fills the buffer; a file that is longer reads as longer than any key.
fn read_all(mut file: File, buffer: &mut [u8]) -> io::Result<&[u8]> {
    let mut filled = 0;
    while let Some(rest) = buffer.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read(rest)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(buffer.get(..filled).unwrap_or_default())
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn put(path: &Path, text: &str, mode: u32) {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_file_is_made_once_private_and_found_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.key");
        let first = WrappingKey::open_or_create(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(PREFIX) && text.ends_with('\n') && text.lines().count() == 1);
        let again = WrappingKey::open_or_create(&path).unwrap();
        assert_eq!(first.id(), again.id());
        assert_eq!(first.expose(), again.expose());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_existing_file_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.key");
        put(&path, "something else", 0o600);
        let Err(VaultError::KeyFile { source, doing, .. }) = WrappingKey::create(&path) else {
            panic!("an existing file was taken");
        };
        assert_eq!(
            (source.kind(), doing),
            (io::ErrorKind::AlreadyExists, "created")
        );
        assert_eq!(fs::read_to_string(&path).unwrap(), "something else");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn many_first_starts_at_once_agree_on_one_key() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.key");
        let ids: Vec<KeyId> = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..8)
                .map(|_| scope.spawn(|| WrappingKey::open_or_create(&path).unwrap().id()))
                .collect();
            starts.into_iter().map(|s| s.join().unwrap()).collect()
        });
        assert!(ids.iter().all(|id| Some(id) == ids.first()), "{ids:?}");
    }

    #[test]
    fn a_file_that_others_can_open_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.key");
        WrappingKey::create(&path).unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601, 0o666] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = WrappingKey::open(&path).unwrap_err();
            assert!(
                matches!(error, VaultError::KeyFileExposed { mode: m, .. } if m == mode),
                "{error}"
            );
            assert!(error.to_string().contains("chmod 600"), "{error}");
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(WrappingKey::open(&path).is_ok());
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_shown() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vault.key");
        let key = BASE64.encode(&[7; 32]);
        for text in [
            String::new(),
            "hallpass-key-v1:".to_owned(),
            key.clone(),
            format!("hallpass-key-v2:{key}"),
            format!("hallpass-key-v1:{}", &key[..43]),
            format!("hallpass-key-v1:{}", BASE64.encode(&[7; 31])),
            format!("hallpass-key-v1:{}", BASE64.encode(&[7; 33])),
            format!("hallpass-key-v1:{key}\n\n"),
            format!("hallpass-key-v1:{key}\nmore"),
            format!(" hallpass-key-v1:{key}"),
            format!("hallpass-key-v1:{key}{}", " ".repeat(4096)),
        ] {
            put(&path, &text, 0o600);
            let error = WrappingKey::open(&path).unwrap_err();
            assert!(
                matches!(error, VaultError::KeyFileMalformed { .. }),
                "{text}"
            );
            assert!(!format!("{error} {error:?}").contains(&key), "{error}");
        }
        for text in ["", "\n", "\r\n"] {
            put(&path, &format!("hallpass-key-v1:{key}{text}"), 0o600);
            assert!(WrappingKey::open(&path).is_ok());
        }
    }

    #[test]
    fn a_folder_a_fifo_and_a_missing_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(
            WrappingKey::open(folder.path()),
            Err(VaultError::KeyFileKind { .. } | VaultError::KeyFile { .. })
        ));
        let fifo = folder.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(matches!(
            WrappingKey::open(&fifo),
            Err(VaultError::KeyFileKind { .. })
        ));
        let Err(VaultError::KeyFile { doing: "read", .. }) =
            WrappingKey::open(&folder.path().join("none"))
        else {
            panic!("a missing file was opened");
        };
    }

    #[test]
    fn debug_shows_the_id_alone() {
        let key = WrappingKey::of_bytes(Zeroizing::new([7; 32]));
        let text = format!("{key:?}");
        assert_eq!(text, format!("WrappingKey({}, [secret])", key.id()));
        assert_eq!(key.id().to_string().parse(), Ok(key.id()));
    }
}

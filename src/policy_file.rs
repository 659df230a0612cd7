//! The bundle of policies that the configuration names: read at the start, and
//! again whenever its file changes.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::{
    config::PolicyConfig,
    policy::{
        bundle::{Bundle, BundleError, DEFAULT},
        classify::Classes,
    },
};

/// Bundles that are longer are not read.
const LONGEST: u64 = 4 << 20;

/// Why a bundle cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PolicyFileError {
    /// The file cannot be read.
    #[error("the policies in {path} cannot be read")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no bundle.
    #[error("the policies in {path} are not valid:\n{errors}")]
    Invalid {
        /// Which; `the default` where none is configured.
        path: PathBuf,
        /// What is wrong, each with its place.
        errors: Errors,
    },
}

/// What is wrong with a bundle, a line each.
#[derive(Debug)]
pub struct Errors(pub Vec<BundleError>);

/// A file that is looked at for changes.
#[derive(Debug)]
pub struct Watch {
    config: PolicyConfig,
    seen: Option<(SystemTime, u64)>,
}

/// Reads the bundle that the configuration names, or the default one.
///
/// # Errors
/// See [`PolicyFileError`].
pub fn load(config: &PolicyConfig) -> Result<Bundle, PolicyFileError> {
    let classes = Classes::with(config.sites.clone());
    match &config.bundle {
        Some(path) => read(path, classes),
        None => Bundle::read(DEFAULT, classes).map_err(|errors| PolicyFileError::Invalid {
            path: "the default bundle".into(),
            errors: Errors(errors),
        }),
    }
}

/// Reads a bundle from a file.
///
/// # Errors
/// See [`PolicyFileError`].
pub fn read(path: &Path, classes: Classes) -> Result<Bundle, PolicyFileError> {
    let text = text(path).map_err(|source| PolicyFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    Bundle::read(&text, classes).map_err(|errors| PolicyFileError::Invalid {
        path: path.to_owned(),
        errors: Errors(errors),
    })
}

fn text(path: &Path) -> io::Result<String> {
    let size = fs::metadata(path)?.len();
    if size > LONGEST {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it is {size} bytes long; at most {LONGEST} are read"),
        ));
    }
    fs::read_to_string(path)
}

impl Watch {
    /// Watches the file that the configuration names. The first look reads it
    /// again: it may have changed since it was loaded.
    #[must_use]
    pub fn new(config: &PolicyConfig) -> Self {
        Self {
            config: config.clone(),
            seen: None,
        }
    }

    /// The bundle, if its file changed since the last look.
    pub fn changed(&mut self) -> Option<Result<Bundle, PolicyFileError>> {
        let seen = self.look();
        if seen == self.seen {
            return None;
        }
        self.seen = seen;
        Some(load(&self.config))
    }

    // A file that is gone is a change too: its policies stay, with a complaint.
    fn look(&self) -> Option<(SystemTime, u64)> {
        let path = self.config.bundle.as_ref()?;
        let about = fs::metadata(path).ok()?;
        Some((about.modified().ok()?, about.len()))
    }
}

impl fmt::Display for Errors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

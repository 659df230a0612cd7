//! Reading cookies that a person hands over: three file formats, one rule.
//!
//! Every cookie goes through [`CookieAttributes::validated`]; one that does not
//! pass is refused with its position and a reason, and the rest go on. A reason
//! never contains a value.

mod collector;
mod cookies_txt;
mod fields;
mod json;
mod storage_state;

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::{cookie::CookieAttributes, secret::Secret, time::Timestamp};

/// Largest file that is read, in bytes.
pub const MAX_BYTES: usize = 4 << 20;

/// How a file writes cookies down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    /// Netscape's `cookies.txt`: one line of seven fields a cookie.
    CookiesTxt,
    /// What Playwright's `storageState()` writes.
    StorageState,
    /// Hallpass's own: an array of cookies, alone or as `{"cookies": […]}`.
    Json,
}

/// What a file held.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Cookies to be sealed, in the order of the file.
    pub cookies: Vec<ImportedCookie>,
    /// What was not taken, in the order of the file.
    pub refused: Vec<RefusedCookie>,
    /// Origins whose local storage the file holds; it is not imported.
    pub storage: Vec<SkippedStorage>,
}

/// One cookie, fit to be sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportedCookie {
    /// Attributes in their one form.
    pub attributes: CookieAttributes,
    /// Value.
    pub value: Secret,
}

/// One cookie that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RefusedCookie {
    /// Line of a text file, place in a JSON array; the first is 1.
    pub position: usize,
    /// Its name, where there was one.
    pub name: Option<String>,
    /// Its domain, where there was one.
    pub domain: Option<String>,
    /// Why, and what would be needed.
    pub reason: String,
}

/// Storage of an origin that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SkippedStorage {
    /// As the file names it.
    pub origin: String,
    /// How many items.
    pub items: usize,
}

/// Why nothing of a file was imported.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportError {
    /// Longer than any cookie store.
    #[error(
        "the file is longer than {MAX_BYTES} bytes: export only the site that is to be lent; nothing was imported"
    )]
    TooLarge,
    /// JSON that ends too early or is none.
    #[error(
        "the file {what} at line {line}, column {column}: export it again; nothing was imported"
    )]
    Json {
        /// What is wrong.
        what: &'static str,
        /// Line, from 1.
        line: usize,
        /// Column in bytes.
        column: usize,
    },
    /// JSON, but not a list of cookies.
    #[error(
        "the file holds no list of cookies: expected `[…]` or an object with one list `cookies`; nothing was imported"
    )]
    NoCookies,
    /// Text without one line of cookies.
    #[error(
        "the file has no line of seven fields with tabs between: it is no `cookies.txt`; nothing was imported"
    )]
    NotCookiesTxt,
}

/// The text names no format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a format: use `cookies-txt`, `storage-state` or `json`")]
pub struct FormatError(String);

/// Reads a file. `now` decides which cookies have expired.
///
/// # Errors
/// The file as a whole cannot be read in that format; then nothing of it is
/// taken.
pub fn parse(format: Format, bytes: &[u8], now: Timestamp) -> Result<Parsed, ImportError> {
    if bytes.len() > MAX_BYTES {
        return Err(ImportError::TooLarge);
    }
    let bytes = without_bom(bytes);
    match format {
        Format::CookiesTxt => cookies_txt::parse(bytes, now),
        Format::StorageState => storage_state::parse(bytes, now),
        Format::Json => json::parse(bytes, now),
    }
}

// === impl Format ===

impl Format {
    /// Guesses the format; `None` if it looks like none of them.
    ///
    /// JSON with `origins` beside the cookies, or with a cookie that `expires`
    /// at -1, is Playwright's.
    #[must_use]
    pub fn detect(bytes: &[u8]) -> Option<Self> {
        let bytes = without_bom(bytes);
        match bytes.iter().find(|byte| !byte.is_ascii_whitespace())? {
            b'[' | b'{' => Some(if storage_state::looks_like(bytes) {
                Self::StorageState
            } else {
                Self::Json
            }),
            _ => cookies_txt::looks_like(bytes).then_some(Self::CookiesTxt),
        }
    }

    /// As written on the command line.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CookiesTxt => "cookies-txt",
            Self::StorageState => "storage-state",
            Self::Json => "json",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Format {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        [Self::CookiesTxt, Self::StorageState, Self::Json]
            .into_iter()
            .find(|format| format.as_str() == text)
            .ok_or_else(|| FormatError(text.chars().take(40).collect()))
    }
}

// === JSON documents ===

/// A JSON file, split into its cookies without reading them.
struct Document<'a> {
    cookies: Vec<&'a RawValue>,
    origins: Vec<&'a RawValue>,
}

impl<'a> Document<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, ImportError> {
        #[derive(Deserialize)]
        struct Object<'a> {
            #[serde(borrow)]
            cookies: Vec<&'a RawValue>,
            #[serde(borrow, default)]
            origins: Vec<&'a RawValue>,
        }
        // First the grammar alone, so that a cut file is told from a wrong one.
        let whole: &RawValue =
            serde_json::from_slice(bytes).map_err(|error| ImportError::Json {
                what: if error.is_eof() {
                    "is cut off"
                } else {
                    "is not JSON"
                },
                line: error.line(),
                column: error.column(),
            })?;
        let document = if whole.get().starts_with('[') {
            serde_json::from_str(whole.get()).map(|cookies| Self {
                cookies,
                origins: Vec::new(),
            })
        } else {
            serde_json::from_str::<Object<'_>>(whole.get()).map(|object| Self {
                cookies: object.cookies,
                origins: object.origins,
            })
        };
        // The parser's own words could quote what it read.
        document.map_err(|_| ImportError::NoCookies)
    }

    fn skipped_storage(&self) -> Vec<SkippedStorage> {
        #[derive(Deserialize)]
        struct Storage<'a> {
            origin: String,
            #[serde(rename = "localStorage", borrow, default)]
            local: Vec<&'a RawValue>,
        }
        self.origins
            .iter()
            .map(|raw| match serde_json::from_str::<Storage<'_>>(raw.get()) {
                Ok(storage) => SkippedStorage {
                    origin: storage.origin,
                    items: storage.local.len(),
                },
                Err(_) => SkippedStorage {
                    origin: "unknown".to_owned(),
                    items: 0,
                },
            })
            .collect()
    }
}

fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

#[cfg(test)]
mod tests;

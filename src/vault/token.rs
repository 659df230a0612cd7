//! Opaque tokens: 256 random bits behind a prefix that names their kind.
//!
//! Only the hash of a token is stored. The kind is part of the text and of the
//! hash, so that one kind never works in another's place.

use std::{fmt, str::FromStr};

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    model::secret::Secret,
    random::{RandomError, random_secret},
};

/// Whose token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// The operator's: administers the broker.
    Operator,
    /// An agent's key.
    Agent,
    /// Opens the endpoint of one session.
    Session,
}

/// A token; its text is shown once and never stored.
#[derive(Debug, Clone)]
pub struct Token {
    kind: TokenKind,
    text: Secret,
}

/// SHA-256 of a token's text. Comparing takes the same time wherever they differ.
///
/// In text and JSON: 64 hex digits, lower case.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

/// Why a text is no token of the expected kind. It never shows the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// No known prefix, or not 43 characters of base64url behind it.
    #[error("that is not a token: expected `hpo_`, `hpa_` or `hps_` and 43 characters")]
    Malformed,
    /// A token, but one for something else.
    #[error("that is {found}, but {expected} is needed here")]
    Kind {
        /// What is needed.
        expected: TokenKind,
        /// What was given.
        found: TokenKind,
    },
}

/// The text is not 64 hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a token hash is 64 lower-case hex digits")]
pub struct TokenHashError;

// === impl TokenKind ===

impl TokenKind {
    const ALL: [Self; 3] = [Self::Operator, Self::Agent, Self::Session];

    /// What its tokens begin with.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Operator => "hpo_",
            Self::Agent => "hpa_",
            Self::Session => "hps_",
        }
    }

    /// The kind that a text says it is; whether it is a token is not looked at.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| text.starts_with(kind.prefix()))
    }
}

impl fmt::Display for TokenKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Operator => "an operator token",
            Self::Agent => "an agent key",
            Self::Session => "a session token",
        })
    }
}

// === impl Token ===

impl Token {
    /// Draws a fresh one.
    ///
    /// # Errors
    /// There is no randomness.
    pub fn draw(kind: TokenKind) -> Result<Self, RandomError> {
        let bytes = random_secret::<32>()?;
        let mut text = String::with_capacity(kind.prefix().len() + 43);
        text.push_str(kind.prefix());
        BASE64URL_NOPAD.encode_append(bytes.as_slice(), &mut text);
        Ok(Self {
            kind,
            text: Secret::new(text),
        })
    }

    /// Reads a token of whatever kind.
    ///
    /// # Errors
    /// The text is none.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let kind = TokenKind::of(text).ok_or(TokenError::Malformed)?;
        let body = text
            .strip_prefix(kind.prefix())
            .filter(|body| body.len() == 43)
            .ok_or(TokenError::Malformed)?;
        let mut bytes = Zeroizing::new([0; 32]);
        BASE64URL_NOPAD
            .decode_mut(body.as_bytes(), bytes.as_mut_slice())
            .map_err(|_| TokenError::Malformed)?;
        Ok(Self {
            kind,
            text: Secret::new(text.to_owned()),
        })
    }

    /// Reads a token of one kind; another kind is refused.
    ///
    /// # Errors
    /// The text is no token, or one of another kind.
    pub fn parse_as(expected: TokenKind, text: &str) -> Result<Self, TokenError> {
        let token = Self::parse(text)?;
        if token.kind == expected {
            Ok(token)
        } else {
            Err(TokenError::Kind {
                expected,
                found: token.kind,
            })
        }
    }

    /// Whose it is.
    #[must_use]
    pub const fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The text, to be shown once to whom it is for.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// What is stored and compared.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.expose().as_bytes()).into())
    }
}

// === impl TokenHash ===

impl TokenHash {
    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for TokenHash {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for TokenHash {
    type Err = TokenHashError;

    fn from_str(text: &str) -> Result<Self, TokenHashError> {
        let bytes = HEXLOWER
            .decode(text.as_bytes())
            .map_err(|_| TokenHashError)?;
        bytes.try_into().map(Self).map_err(|_| TokenHashError)
    }
}

impl Serialize for TokenHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TokenHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_kind_never_works_in_anothers_place() {
        for kind in TokenKind::ALL {
            let token = Token::draw(kind).unwrap();
            assert!(token.expose().starts_with(kind.prefix()));
            assert_eq!(token.expose().len(), 47);
            for expected in TokenKind::ALL {
                let parsed = Token::parse_as(expected, token.expose());
                if expected == kind {
                    assert_eq!(parsed.unwrap().hash(), token.hash());
                } else {
                    let found = kind;
                    assert_eq!(
                        parsed.unwrap_err(),
                        TokenError::Kind { expected, found },
                        "{token:?}"
                    );
                    // Putting another prefix before the same bits is another token.
                    let forged = token.expose().replace(kind.prefix(), expected.prefix());
                    assert_ne!(Token::parse(&forged).unwrap().hash(), token.hash());
                }
            }
        }
    }

    #[test]
    fn what_is_no_token_is_refused_and_never_shown() {
        let token = Token::draw(TokenKind::Agent).unwrap();
        let body = token.expose().strip_prefix("hpa_").unwrap();
        for text in [
            String::new(),
            "hpa_".to_owned(),
            body.to_owned(),
            format!("hpx_{body}"),
            format!("HPA_{body}"),
            format!(" hpa_{body}"),
            format!("hpa_{body} "),
            format!("hpa_{body}A"),
            format!("hpa_{}", &body[..42]),
            // Unused bits that are set: a second spelling of the same bytes.
            format!("hpa_{}B", "A".repeat(42)),
            format!("hpa_{}!", &body[..42]),
        ] {
            assert_eq!(
                Token::parse(&text).map(|_| ()),
                Err(TokenError::Malformed),
                "{text}"
            );
        }
        assert!(!format!("{token:?}").contains(body));
    }

    #[test]
    fn hashes_compare_by_value_and_round_trip() {
        let (one, other) = (
            Token::draw(TokenKind::Session).unwrap().hash(),
            Token::draw(TokenKind::Session).unwrap().hash(),
        );
        assert_ne!(one, other);
        assert_eq!(one.to_string().parse(), Ok(one));
        assert_eq!(one, TokenHash::from(*one.as_bytes()));
        let json = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<TokenHash>(&json).unwrap(), one);
        for text in ["", "ab", &one.to_string().to_uppercase()] {
            assert!(text.parse::<TokenHash>().is_err(), "{text}");
        }
    }
}

//! Stand-in for tokens, until the vault is merged.

/// SHA-256 of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenHash(pub [u8; 32]);

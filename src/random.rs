//! Randomness of the shell: keys, nonces, tokens and fresh ids. The pure core
//! is handed what was drawn here.

use uuid::{Builder, Uuid};
use zeroize::Zeroizing;

use crate::clock::Clock;

/// The operating system gave no randomness; nothing can be sealed or named.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness: {0}")]
pub struct RandomError(#[from] getrandom::Error);

/// Secret random bytes, zeroed when dropped.
///
/// # Errors
/// The operating system gives none.
pub fn random_secret<const N: usize>() -> Result<Zeroizing<[u8; N]>, RandomError> {
    let mut bytes = Zeroizing::new([0; N]);
    getrandom::fill(bytes.as_mut_slice())?;
    Ok(bytes)
}

/// Public random bytes, such as a nonce or a salt.
///
/// # Errors
/// The operating system gives none.
pub fn random_bytes<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// A fresh UUID of version 7: wall clock in front, so that ids sort by creation
/// to a fraction of a millisecond, and 62 random bits behind.
///
/// # Errors
/// The operating system gives no randomness.
pub fn random_uuid_v7() -> Result<Uuid, RandomError> {
    let micros = Clock.now().wall.0.unsigned_abs();
    let mut tail = random_bytes::<10>()?;
    // RFC 9562, section 6.2, method 3: the part below a millisecond in 12 bits.
    let fraction = (micros % 1000) * 4096 / 1000;
    let [.., high, low] = fraction.to_be_bytes();
    let [first, second, ..] = &mut tail;
    (*first, *second) = (high, low);
    Ok(Builder::from_unix_timestamp_millis(micros / 1000, &tail).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fresh_ids_are_version_seven_distinct_and_of_now() {
        let before = Clock.now().wall.0 / 1000;
        let (one, other) = (random_uuid_v7().unwrap(), random_uuid_v7().unwrap());
        let after = Clock.now().wall.0 / 1000;
        assert_ne!(one, other);
        assert_eq!(one.get_version_num(), 7);
        let (seconds, nanos) = one.get_timestamp().unwrap().to_unix();
        let millis = i64::try_from(seconds).unwrap() * 1000 + i64::from(nanos / 1_000_000);
        assert!((before..=after).contains(&millis));
    }

    #[test]
    fn secrets_differ() {
        assert_ne!(
            *random_secret::<32>().unwrap(),
            *random_secret::<32>().unwrap()
        );
    }
}

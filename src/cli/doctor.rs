//! `hallpass doctor`
use super::{
    context::Context,
    failure::{Exit, Failure},
};

/// Does it.
///
/// # Errors
/// See [`Failure`].
pub async fn run(context: &Context) -> Result<Exit, Failure> {
    let _ = context;
    Ok(Exit::Done)
}

//! `hallpass serve`

use std::net::SocketAddr;

use clap::Args;

use super::{
    context::Context,
    failure::{Exit, Failure},
};
use crate::serve::{Broker, ServeError, stop_signal};

/// How the broker runs; everything else is in the configuration.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    /// Where to listen, instead of where the configuration says.
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub listen: Option<SocketAddr>,
}

/// Runs the broker until it is asked to stop.
///
/// # Errors
/// It cannot start, or did not end in time.
pub async fn run(context: &Context) -> Result<Exit, Failure> {
    let stop = stop_signal().map_err(|error| explain(&error))?;
    let broker = Broker::open(context.config().clone())
        .await
        .map_err(|error| explain(&error))?;
    context.screen.line(format!(
        "hallpass {} answers at http://{} (operator token in {}); next: `hallpass agent add NAME`",
        env!("CARGO_PKG_VERSION"),
        broker.address(),
        context.token_path().display(),
    ));
    broker.run(stop).await.map_err(|error| explain(&error))?;
    Ok(Exit::Done)
}

fn explain(error: &ServeError) -> Failure {
    let failure = Failure::new(Exit::Failed, super::failure::chain(error));
    match error {
        ServeError::PortTaken(_) => failure.advise(
            "stop the other program, or choose another port with `--listen` or `listen` in the configuration",
        ),
        ServeError::Listen { .. } => failure.advise(
            "choose an address of this machine with `--listen` or `listen` in the configuration",
        ),
        ServeError::Open(_) | ServeError::Sessions(_) => failure.advise("`hallpass doctor` says what does not hold here"),
        ServeError::Signals(_) | ServeError::Drain(_) => failure,
    }
}

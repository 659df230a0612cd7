//! `hallpass demo`: the main job end to end on this machine.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::Path,
};

use clap::Args;
use tokio::sync::oneshot;
use url::Url;

use super::{
    context::{Context, TOKEN_FILE},
    failure::{Exit, Failure, chain},
    output::{Screen, Tone},
    scratch::ScratchFolder,
};
use crate::{
    browser::{
        discover::{self, DiscoverError},
        install,
    },
    config::Config,
    demo::story::{Story, Teller},
    serve::{Broker, stop_signal},
};

/// How the demonstration runs.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// End after the last step, non-zero if any step did not hold.
    #[arg(long)]
    pub once: bool,
}

/// Runs it.
///
/// # Errors
/// A step did not hold, or the broker did not start.
pub async fn run(args: DemoArgs, context: &Context) -> Result<Exit, Failure> {
    let screen = context.screen;
    screen.line("Hallpass lends an agent a slice of a person's browser session.\n");
    find_browser(context).await?;
    let folder = ScratchFolder::make("demo")
        .map_err(|error| failed("no folder for the demonstration", &error))?;
    let stop = stop_signal().map_err(|error| failed("signals cannot be received", &error))?;
    let config = Config {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        browser: context.config().browser.clone(),
        cell: context.config().cell.clone(),
        ..Config::in_dir(folder.path().to_owned())
    };
    let broker = Broker::open(config)
        .await
        .map_err(|error| failed("the broker does not start", &error))?;
    let base = format!("http://{}", broker.address());
    let (end, ended) = oneshot::channel::<()>();
    let running = tokio::spawn(broker.run(async {
        ended.await.ok();
    }));
    let held = play(&base, folder.path(), screen).await;
    match &held {
        Ok((true, story)) if !args.once => {
            screen.line(format!(
                "\nThe broker stays up to be explored. In another terminal:\n\n    \
                 hallpass --data-dir {0} --url {base} trace list\n    \
                 hallpass --data-dir {0} --url {base} delegation list\n\n\
                 The desk is at {1} (account {2}). Ctrl-C ends all and removes the folder.",
                folder.path().display(),
                story.desk().origin,
                crate::demo::desk::USERNAME,
            ));
            stop.await;
        }
        _ => {}
    }
    let held = held.map(|(held, _)| held);
    end.send(()).ok();
    match running.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => return Err(failed("the broker did not end in order", &error)),
        Err(error) => return Err(failed("the broker did not end in order", &error)),
    }
    if held? {
        screen.line("\nEach step held.");
        Ok(Exit::Done)
    } else {
        Ok(Exit::Failed)
    }
}

async fn play(base: &str, folder: &Path, screen: Screen) -> Result<(bool, Story), Failure> {
    let base: Url = base
        .parse()
        .map_err(|error: url::ParseError| failed("the broker's address cannot be read", &error))?;
    let mut story = Story::new(base, &folder.join(TOKEN_FILE))
        .await
        .map_err(|error| Failure::new(Exit::Failed, format!("{error:#}")))?;
    let held = story.play(&mut Steps { screen, number: 0 }).await;
    Ok((held, story))
}

async fn find_browser(context: &Context) -> Result<(), Failure> {
    let configured = context.config().browser.path.as_deref();
    let found = match discover::discover(configured).await {
        Err(error) if configured.is_none() && matches!(error, DiscoverError::NoneFound) => {
            context
                .screen
                .line("No browser is on this machine; installing one.");
            install::install(|line| context.screen.line(format!("    {line}")))
                .await
                .map_err(|error| failed("no browser could be installed", &error))?
        }
        found => found.map_err(|error| failed("no browser can be used", &error))?,
    };
    context.screen.line(format!(
        "Browser: {} ({})\n",
        found.version,
        found.path.display()
    ));
    Ok(())
}

/// Steps on the terminal.
struct Steps {
    screen: Screen,
    number: u32,
}

impl Teller for Steps {
    fn begin(&mut self, title: &str) {
        self.number += 1;
        self.screen.line(format!("{:>2}  {title}", self.number));
    }

    fn held(&mut self, evidence: &[String]) {
        for line in evidence {
            self.screen.line(format!(
                "    {} {line}",
                self.screen.paint(Tone::Good, "ok")
            ));
        }
    }

    fn failed(&mut self, why: &str) {
        self.screen.line(format!(
            "    {} {why}",
            self.screen.paint(Tone::Bad, "did not hold:")
        ));
    }
}

fn failed(what: &str, error: &dyn std::error::Error) -> Failure {
    Failure::new(Exit::Failed, format!("{what}: {}", chain(error)))
}

//! What every command has at hand: the configuration, the broker's address and
//! token, the screen and the clock.

use std::{io::ErrorKind, net::SocketAddr, path::PathBuf};

use jiff::tz::TimeZone;
use serde::Serialize;
use serde_json::Value;
use url::Url;

use super::{
    Global,
    client::{Client, print_json},
    failure::{Exit, Failure},
    output::{self, Screen, Table},
    time,
};
use crate::{
    clock::Clock,
    config::{Config, Flags},
    model::{secret::Secret, time::Timestamp},
    serve,
};

/// Variable that holds the token, for brokers whose data folder is elsewhere.
const TOKEN_VARIABLE: &str = "HALLPASS_TOKEN";
/// The operator token in the data folder.
pub(super) const TOKEN_FILE: &str = "keys/operator.token";

/// What every command has at hand.
#[derive(Debug)]
pub struct Context {
    config: Config,
    url: Option<Url>,
    json: bool,
    /// Where lines go.
    pub screen: Screen,
    /// The reader's time zone.
    pub zone: TimeZone,
}

// === impl Context ===

impl Context {
    /// Reads and checks the configuration.
    ///
    /// # Errors
    /// [`Exit::Usage`] with where it is not acceptable.
    pub fn new(global: Global, listen: Option<SocketAddr>) -> Result<Self, Failure> {
        let flags = Flags {
            config: global.config,
            data_dir: global.data_dir,
            listen,
        };
        let environment = std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let config = Config::load(&flags, environment)
            .map_err(|error| Failure::usage(super::failure::chain(&error)))?;
        Ok(Self {
            config,
            url: global.url,
            json: global.json,
            screen: Screen::standard(),
            zone: TimeZone::system(),
        })
    }

    /// The configuration, checked.
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// Whether programs read the output.
    pub const fn json(&self) -> bool {
        self.json
    }

    /// The wall clock.
    pub fn now(&self) -> Timestamp {
        Clock.now().wall
    }

    /// Where the operator token is kept.
    pub fn token_path(&self) -> PathBuf {
        self.config.data_dir.join(TOKEN_FILE)
    }

    /// A client of the running broker.
    ///
    /// # Errors
    /// No token is at hand.
    pub fn client(&self) -> Result<Client, Failure> {
        Client::new(self.broker_url()?, self.token()?)
    }

    /// Shows an answer: as the API gave it, or in words.
    ///
    /// # Errors
    /// It cannot be written as JSON.
    pub fn show<T: Serialize>(
        &self,
        answer: &T,
        words: impl FnOnce(&Self, &T),
    ) -> Result<(), Failure> {
        if self.json {
            let value: Value = serde_json::to_value(answer)
                .map_err(|error| Failure::because("the answer cannot be shown", &error))?;
            self.screen.line(print_json(&value));
        } else {
            words(self, answer);
        }
        Ok(())
    }

    /// `14:15, in 12 min`, in the reader's zone.
    pub fn when(&self, at: Timestamp) -> String {
        time::relative(at, self.now(), &self.zone)
    }

    /// Shows a table, or a line where it is empty.
    pub fn list(&self, table: &Table, nothing: &str) {
        if table.is_empty() {
            self.screen.line(nothing);
        } else {
            self.screen.table(table);
        }
    }

    /// Shows labels and values, aligned; empty values are left out.
    pub fn fields(&self, fields: &[(&str, String)]) {
        for (label, value) in fields.iter().filter(|(_, value)| !value.is_empty()) {
            self.screen
                .line(format!("{label:<12} {}", output::printable(value)));
        }
    }

    /// The address that was named, or that the running broker of the data folder
    /// left. The token is sent nowhere else: another program may have taken the
    /// port of a broker that does not run.
    fn broker_url(&self) -> Result<Url, Failure> {
        if let Some(url) = &self.url {
            return Ok(url.clone());
        }
        let data_dir = &self.config.data_dir;
        if !serve::is_running(data_dir) {
            return Err(Failure::new(
                Exit::Failed,
                format!("no broker runs on the data folder {}", data_dir.display()),
            )
            .advise(
                "start one with `hallpass serve`, or name another: its folder with `--data-dir`, or its address with `--url`",
            ));
        }
        if let Some(url) = serve::announced(data_dir) {
            return Ok(url);
        }
        let text = serve::local_url(self.config.listen);
        Url::parse(&text).map_err(|error| {
            Failure::because(format!("`{text}` is no address of a broker"), &error)
        })
    }

    fn token(&self) -> Result<Secret, Failure> {
        if let Ok(token) = std::env::var(TOKEN_VARIABLE)
            && !token.trim().is_empty()
        {
            return Ok(Secret::new(token.trim().to_owned()));
        }
        let path = self.token_path();
        let shown = path.display();
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Secret::new(text.trim().to_owned())),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(Failure::new(
                Exit::Failed,
                format!("no broker has run on this data folder: there is no {shown}"),
            )
            .advise(format!(
                "start one with `hallpass serve`, or name another folder with `--data-dir`, or set `{TOKEN_VARIABLE}`"
            ))),
            Err(error) => Err(Failure::because(
                format!("the operator token cannot be read from {shown}"),
                &error,
            )
            .advise(format!(
                "run this as the user who runs the broker, or set `{TOKEN_VARIABLE}`"
            ))),
        }
    }
}

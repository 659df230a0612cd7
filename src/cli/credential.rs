//! `hallpass credential`

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use clap::{Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use super::{
    context::Context,
    failure::{Exit, Failure},
    output::{Table, Tone, printable},
};
use crate::{
    http::body::IMPORT_LIMIT,
    model::{cookie::CookieAttributes, id::CredentialId},
    service::{CredentialInfo, ImportReport},
};

/// Credentials: lent cookies, sealed in the vault.
#[derive(Debug, Subcommand)]
pub enum CredentialCommand {
    /// Seal the cookies of a file into the vault.
    Import {
        /// The file; `-` reads standard input.
        file: PathBuf,
        /// How it is written.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Show what is in the vault, without values.
    List,
    /// Remove a credential and revoke the delegations that lend it.
    Remove {
        /// Its id.
        id: CredentialId,
    },
}

/// How a file of cookies is written.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum Format {
    /// Told by its content.
    #[default]
    Auto,
    /// `cookies.txt`.
    Netscape,
    /// Playwright's `storageState`.
    StorageState,
    /// The JSON list that browser extensions write.
    Json,
}

#[derive(Debug, Serialize, Deserialize)]
struct CredentialList {
    credentials: Vec<CredentialInfo>,
}

/// Does it.
///
/// # Errors
/// See [`Failure`].
pub async fn run(command: CredentialCommand, context: &Context) -> Result<Exit, Failure> {
    match command {
        CredentialCommand::Import { file, format } => import(&file, format, context).await,
        CredentialCommand::List => {
            let list: CredentialList = context.client()?.get("/v1/credentials").await?;
            context.show(&list, |context, list| {
                let nothing =
                    "no credential yet; bring some with `hallpass credential import FILE`";
                context.list(&table(context, &list.credentials), nothing);
            })?;
            Ok(Exit::Done)
        }
        CredentialCommand::Remove { id } => {
            let path = format!("/v1/credentials/{id}");
            let gone: serde_json::Value = context.client()?.delete(&path).await?;
            context.show(&gone, |context, _| {
                context.screen.line(format!(
                    "credential {id} is removed, and the delegations that lent it are revoked"
                ));
            })?;
            Ok(Exit::Done)
        }
    }
}

async fn import(file: &Path, format: Format, context: &Context) -> Result<Exit, Failure> {
    let client = context.client()?;
    let bytes = read(file)?;
    let format = match format {
        Format::Auto => "auto",
        Format::Netscape => "netscape",
        Format::StorageState => "storage-state",
        Format::Json => "json",
    };
    let path = format!("/v1/credentials?format={format}");
    let report: ImportReport =
        client
            .post_file(&path, bytes)
            .await
            .map_err(|failure: Failure| match failure.exit {
                // The command is right; it is the file that is not.
                Exit::Usage => Failure {
                    exit: Exit::Failed,
                    ..failure
                },
                _ => failure,
            })?;
    context.show(&report, |context, report| {
        let screen = context.screen;
        if !report.imported.is_empty() {
            screen.table(&table(context, &report.imported));
        }
        if !report.refused.is_empty() {
            let mut refused = Table::new(["AT", "COOKIE", "REFUSED BECAUSE"]);
            for cookie in &report.refused {
                refused.row([
                    cookie.position.to_string(),
                    cookie.name.clone().unwrap_or_else(|| "?".to_owned()),
                    cookie.reason.clone(),
                ]);
            }
            screen.table(&refused);
        }
        for what in &report.left_out {
            screen.line(format!("left out: {}", printable(what)));
        }
        let (taken, refused) = (report.imported.len(), report.refused.len());
        let tone = if refused == 0 { Tone::Good } else { Tone::Warn };
        screen.line(screen.paint(tone, &format!("{taken} sealed, {refused} refused")));
    })?;
    if report.imported.is_empty() {
        return Err(Failure::new(Exit::Failed, "no cookie was imported").advise(
            "the report says what was wrong with each; export the cookies once more, or name the format with `--format`",
        ));
    }
    Ok(Exit::Done)
}

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    let shown = printable(&file.display().to_string());
    let fault = |error: std::io::Error| {
        Failure::because(format!("`{shown}` cannot be read"), &error)
            .advise("check the path; `-` reads standard input")
    };
    // A byte more than the limit tells a file of the limit's size from a larger one.
    let limit = u64::try_from(IMPORT_LIMIT)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut bytes = Vec::new();
    if file == Path::new("-") {
        std::io::stdin()
            .take(limit)
            .read_to_end(&mut bytes)
            .map_err(fault)?;
    } else {
        let open = std::fs::File::open(file).map_err(fault)?;
        open.take(limit).read_to_end(&mut bytes).map_err(fault)?;
    }
    if bytes.len() > IMPORT_LIMIT {
        return Err(Failure::new(
            Exit::Failed,
            format!("`{shown}` is longer than {IMPORT_LIMIT} bytes"),
        )
        .advise("export the cookies of fewer sites"));
    }
    Ok(bytes)
}

fn table(context: &Context, credentials: &[CredentialInfo]) -> Table {
    let mut table = Table::new([
        "CREDENTIAL",
        "COOKIE",
        "FOR",
        "EXPIRES",
        "VERSION",
        "STATUS",
    ]);
    for credential in credentials {
        table.row([
            credential.id.to_string(),
            credential.cookie.name.clone(),
            place(&credential.cookie),
            credential
                .cookie
                .expires
                .map_or_else(|| "with the session".to_owned(), |at| context.when(at)),
            credential.version.to_string(),
            if credential.cleared {
                "taken away by the site".to_owned()
            } else {
                "sealed".to_owned()
            },
        ]);
    }
    table
}

fn place(cookie: &CookieAttributes) -> String {
    let below = if cookie.host_only { "" } else { "*." };
    format!("{below}{}{}", cookie.domain, cookie.path)
}

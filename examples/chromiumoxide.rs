//! chromiumoxide with a Hallpass session. Nothing here is special to Hallpass
//! but the URL it connects to.
//!
//! ```text
//! cargo run --example chromiumoxide -- CDP_URL PAGE
//! ```
//! `CDP_URL` is what `hallpass session start` prints; `HALLPASS_CDP_URL` in the
//! environment does as well and keeps it out of the shell's history.

use anyhow::Context as _;
use chromiumoxide::{Browser, cdp::browser_protocol::network::GetCookiesParams};
use futures_util::StreamExt as _;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (url, target) = command_line()?;
    let (browser, mut handler) = Browser::connect(url).await?;
    // The handler moves every message; it must be polled all the time.
    let moving = tokio::spawn(async move { while handler.next().await.is_some() {} });

    let page = browser.new_page("about:blank").await?;
    page.goto(target.as_str()).await?;
    let title = page.get_title().await?.unwrap_or_default();
    println!("title: {title}");

    // The site knows who it is; the agent never sees the cookie that says so.
    let cookies = page.execute(GetCookiesParams::default()).await?;
    println!(
        "cookies the agent can read: {}",
        cookies.result.cookies.len()
    );

    // Whatever was not lent is refused, with a page that says why.
    match page.goto("https://not-lent.invalid/").await {
        Ok(page) => println!("elsewhere: {}", page.get_title().await?.unwrap_or_default()),
        Err(error) => println!("elsewhere: {error}"),
    }

    page.close().await?;
    // `Browser::close` would end a browser of one's own; this one is lent.
    drop(browser);
    moving.abort();
    Ok(())
}

fn command_line() -> anyhow::Result<(String, String)> {
    let usage = "usage: cargo run --example chromiumoxide -- [CDP_URL] PAGE";
    let mut given = std::env::args().skip(1);
    let first = given.next().context(usage)?;
    match (given.next(), std::env::var("HALLPASS_CDP_URL")) {
        (Some(target), _) => Ok((first, target)),
        (None, Ok(url)) => Ok((url, first)),
        (None, Err(_)) => anyhow::bail!(usage),
    }
}

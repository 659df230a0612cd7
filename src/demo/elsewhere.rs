//! A second system: an origin outside of what is lent. It counts who reaches
//! it, and that should be nobody.

use std::{
    io,
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use axum::{Router, response::Html};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

const PAGE: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Elsewhere</title>\
    <h1>Elsewhere</h1><p>This page is outside of what was lent.</p>";

/// A running second system on a free loopback port; ends with the value.
#[derive(Debug)]
pub struct Elsewhere {
    /// `http://127.0.0.1:PORT`.
    pub origin: String,
    hits: Arc<AtomicU64>,
    _serving: AbortOnDropHandle<io::Result<()>>,
}

impl Elsewhere {
    /// Starts it; must be called within a tokio runtime.
    ///
    /// # Errors
    /// No loopback port can be bound.
    pub async fn start() -> io::Result<Self> {
        let hits = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&hits);
        let app = Router::new().fallback(move || {
            count.fetch_add(1, Ordering::Relaxed);
            std::future::ready(Html(PAGE))
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let serving = tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self {
            origin,
            hits,
            _serving: AbortOnDropHandle::new(serving),
        })
    }

    /// Requests that reached it so far, whatever they asked for.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.hits.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_request_counts() {
        let elsewhere = Elsewhere::start().await.unwrap();
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        assert_eq!(elsewhere.hits(), 0);
        for path in ["/", "/any/path?query"] {
            let url = format!("{}{path}", elsewhere.origin);
            assert!(client.get(url).send().await.unwrap().status().is_success());
        }
        assert_eq!(elsewhere.hits(), 2);
    }
}

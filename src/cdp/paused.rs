//! A paused request, as Chromium tells it, and the [`RequestAction`] that the
//! policy decides.

use std::{borrow::Cow, collections::BTreeMap};

use serde::Deserialize;
use url::Url;

use crate::model::{
    action::{Destination, RequestAction, is_safe_method},
    cookie::{PartitionKey, SiteContext},
    origin::Origin,
};

/// The arguments of `Fetch.requestPaused` that matter here.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Paused<'a> {
    /// Names the pause; used to continue, fulfil or fail it.
    #[serde(borrow)]
    pub request_id: Cow<'a, str>,
    /// The request.
    #[serde(borrow)]
    pub request: Request<'a>,
    /// Frame that it is for.
    #[serde(borrow, default)]
    pub frame_id: Option<Cow<'a, str>>,
    /// What the page wants it for.
    #[serde(borrow)]
    pub resource_type: Cow<'a, str>,
    /// Names the request in `Network` events.
    #[serde(borrow, default)]
    pub network_id: Option<Cow<'a, str>>,
    /// Present when paused at the response; we never ask for that.
    #[serde(default)]
    pub response_status_code: Option<u16>,
}

/// A request in CDP's terms.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request<'a> {
    /// Where to.
    #[serde(borrow)]
    pub url: Cow<'a, str>,
    /// Method.
    #[serde(borrow)]
    pub method: Cow<'a, str>,
    /// Headers that the browser will send, its own cookies among them.
    pub headers: BTreeMap<String, String>,
    /// Whether the request is same-site with what caused it.
    #[serde(default)]
    pub is_same_site: Option<bool>,
}

/// What is known of the page that a request is for.
#[derive(Debug, Clone, Copy, Default)]
pub struct PageContext<'a> {
    /// Where the page is now, or its opener where it is still blank.
    pub at: Option<&'a Url>,
    /// Whether the agent told the page to go somewhere: then, as when a person
    /// types an address, no site caused it.
    pub told: bool,
}

impl Paused<'_> {
    /// The action to decide, or `None` where the URL cannot be parsed.
    ///
    /// `is_main` says whether the frame is the top of its page.
    pub fn action(&self, is_main: bool, page: PageContext<'_>) -> Option<RequestAction> {
        let mut url = Url::parse(&self.request.url).ok()?;
        url.set_fragment(None);
        let destination = destination(&self.resource_type, is_main);
        let site = match destination {
            Destination::Page => self.page_site(&url, page),
            Destination::Frame | Destination::Load | Destination::Connect => {
                if self.request.is_same_site == Some(true) {
                    SiteContext::SameSite
                } else {
                    SiteContext::CrossSite
                }
            }
        };
        let top = match destination {
            Destination::Page => Origin::of(&url),
            _ => page.at.and_then(Origin::of),
        };
        let partition = top.map(|top| PartitionKey {
            top_level_site: top.site(),
            has_cross_site_ancestor: site == SiteContext::CrossSite,
        });
        Some(RequestAction {
            method: self.request.method.to_string(),
            url,
            destination,
            site,
            partition,
        })
    }

    /// The browser's own `Cookie` header, if it sends one.
    pub fn own_cookies(&self) -> Option<&str> {
        self.request
            .headers
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("cookie"))
            .map(|(_, value)| value.as_str())
    }

    fn page_site(&self, url: &Url, page: PageContext<'_>) -> SiteContext {
        let cause = page.at.filter(|_| !page.told).and_then(Origin::of);
        let Some(cause) = cause else {
            return SiteContext::SameSite;
        };
        if Origin::of(url).is_some_and(|to| to.site() == cause.site()) {
            SiteContext::SameSite
        } else if is_safe_method(&self.request.method) {
            SiteContext::CrossSiteTopLevelSafe
        } else {
            SiteContext::CrossSite
        }
    }
}

fn destination(resource_type: &str, is_main: bool) -> Destination {
    match resource_type {
        "Document" if is_main => Destination::Page,
        "Document" => Destination::Frame,
        "Stylesheet" | "Image" | "Media" | "Font" | "Script" | "TextTrack" | "Manifest"
        | "Prefetch" | "SignedExchange" => Destination::Load,
        _ => Destination::Connect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paused(json: &str) -> Paused<'_> {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_page_caused_by_another_site_is_told_apart() {
        let text = r#"{"requestId":"1","frameId":"F","resourceType":"Document",
            "request":{"url":"https://b.test/x#f","method":"GET","headers":{"cookie":"a=1"},"isSameSite":true}}"#;
        let paused = paused(text);
        let at = Url::parse("https://a.test/").unwrap();
        let site =
            |at: Option<&Url>, told| paused.action(true, PageContext { at, told }).unwrap().site;
        assert_eq!(site(Some(&at), false), SiteContext::CrossSiteTopLevelSafe);
        assert_eq!(site(Some(&at), true), SiteContext::SameSite);
        assert_eq!(site(None, false), SiteContext::SameSite);
        assert_eq!(paused.own_cookies(), Some("a=1"));
        assert_eq!(
            paused
                .action(true, PageContext::default())
                .unwrap()
                .url
                .as_str(),
            "https://b.test/x"
        );
        assert_eq!(
            paused
                .action(false, PageContext::default())
                .unwrap()
                .destination,
            Destination::Frame
        );
    }

    #[test]
    fn what_does_not_say_same_site_is_cross_site() {
        let text = r#"{"requestId":"1","resourceType":"XHR","request":{"url":"https://b.test/","method":"GET","headers":{}}}"#;
        let action = paused(text).action(false, PageContext::default()).unwrap();
        assert_eq!(action.site, SiteContext::CrossSite);
        assert_eq!(action.destination, Destination::Connect);
    }
}

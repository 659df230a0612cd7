//! Lent cookies at the browser: put into the jar where the delegation says so,
//! taken out when its window closes, followed when the site sets them anew.

use std::sync::Arc;

use serde_json::{Value, json};
use url::Url;

use super::{Call, Hub, Journal, Output, network::ResponseHeaders};
use crate::{
    broker::{
        lease::{Lease, LentCookie},
        rotation::{Change, JarCookie, Response, read_response},
    },
    model::{
        cookie::{CookieAttributes, PartitionKey, SameSite},
        delegation::Delivery,
        id::DelegationId,
        time::{Now, Timestamp},
    },
    trace::record::{Actor, CookieTrace, Event},
};

impl Hub {
    /// Takes note of a lease bound after the session began.
    pub fn lease_added(&mut self, now: Now) {
        self.refresh_scanner();
        self.fill_jar(now);
    }

    /// Puts jar-delivered cookies of open leases into the session's context.
    pub(super) fn fill_jar(&mut self, now: Now) {
        let Some(tenant) = &self.tenant else {
            return;
        };
        let mut params = Vec::new();
        tenant.leases.each(|lease| {
            if lease.is_open(now) {
                for cookie in jar_cookies(lease).filter(|cookie| !cookie.is_cleared()) {
                    params.push(cookie_param(
                        &cookie.attributes,
                        cookie.value().expose(),
                        lease.live.window.end,
                    ));
                }
            }
        });
        self.set_cookies(params, || Call::Ignored);
    }

    /// Takes the jar-delivered cookies of a closed lease out again; answers by how
    /// many commands, whose answers are those of a round of the drain.
    pub(super) fn empty_jar_of(&mut self, delegation: DelegationId, drain: u64) -> usize {
        let Some(tenant) = &self.tenant else {
            return 0;
        };
        let mut params = Vec::new();
        tenant.leases.each(|lease| {
            if lease.delegation == delegation {
                params.extend(
                    jar_cookies(lease).flat_map(|cookie| expired(&jar_name(&cookie.attributes))),
                );
            }
        });
        self.set_cookies(params, || Call::Emptied(drain))
    }

    /// Follows what an answer sets, and takes what shadows lent cookies out of the jar.
    pub(super) fn response_headers(&mut self, headers: &ResponseHeaders<'_>, now: Now) {
        let url = self.next_hop(&headers.request_id);
        let found = self.read_set_cookies(headers, url.as_ref(), now);
        let commands = self.clear_cookies(&found, &headers.request_id);
        self.headers_known(&headers.request_id, commands);
    }

    fn read_set_cookies(
        &mut self,
        headers: &ResponseHeaders<'_>,
        url: Option<&Url>,
        now: Now,
    ) -> Vec<JarCookie> {
        let (Some(url), Some(set_cookie), Some(tenant)) =
            (url, headers.set_cookie.as_deref(), &self.tenant)
        else {
            return Vec::new();
        };
        let partition = headers.partition();
        let response = Response {
            url,
            set_cookie,
            partition: partition.as_ref(),
            at: now.wall,
        };
        let found = read_response(&response, &tenant.leases);
        let mut stale = found.shadowing;
        let mut events = Vec::new();
        for rotation in found.rotations {
            let cookie = rotation.cookie;
            let (value, attributes, what) = match rotation.change {
                Change::Rotated(value, attributes) => (Some(value), attributes, "rotated"),
                Change::Cleared => (None, cookie.attributes.clone(), "cleared"),
            };
            if cookie.delivery == Delivery::Wire {
                stale.push(jar_name(&cookie.attributes));
            }
            let old = cookie.value();
            let changed = match &value {
                Some(value) => cookie.rotate(value.clone()),
                None => cookie.clear(),
            };
            if !changed {
                continue;
            }
            self.retired.push(old);
            events.push(Event::Rotation {
                cookie: cookie_trace(&cookie, tenant.journal.as_ref()),
                what: what.to_owned(),
            });
            self.out.push_back(Output::Rotated {
                credential: cookie.credential,
                value,
                attributes,
            });
        }
        if !events.is_empty() {
            self.refresh_scanner();
        }
        for event in events {
            self.record(Actor::Page, event, now).ok();
        }
        stale
    }

    /// Takes cookies that a response set out of the jar; answers by how many
    /// commands.
    fn clear_cookies(&mut self, stale: &[JarCookie], request: &str) -> usize {
        let cookies = stale.iter().flat_map(expired).collect();
        self.set_cookies(cookies, || Call::Cleared(request.to_owned()))
    }

    /// Answers by how many commands.
    fn set_cookies(&mut self, cookies: Vec<Value>, call: impl Fn() -> Call) -> usize {
        let Some(context) = self.contexts.first().cloned() else {
            return 0;
        };
        let commands = cookies.len();
        // One by one: Chromium refuses a list for one entry that it dislikes.
        for cookie in cookies {
            self.ask(
                "Storage.setCookies",
                json!({"cookies": [cookie], "browserContextId": context}),
                None,
                call(),
            );
        }
        commands
    }
}

/// A cookie as records name it.
pub(super) fn cookie_trace(cookie: &LentCookie, journal: &dyn Journal) -> CookieTrace {
    CookieTrace {
        credential: cookie.credential,
        name: cookie.attributes.name.clone(),
        domain: cookie.attributes.domain.clone(),
        delivery: cookie.delivery,
        digest: journal.digest(&cookie.value()),
    }
}

fn jar_cookies(lease: &Lease) -> impl Iterator<Item = &Arc<LentCookie>> {
    lease
        .cookies
        .iter()
        .filter(|cookie| cookie.delivery == Delivery::Jar)
}

/// CDP's `Network.CookieParam`. A cookie without `domain` is host-only; its
/// host is then taken from `url`.
fn cookie_param(attributes: &CookieAttributes, value: &str, until: Timestamp) -> Value {
    let scheme = if attributes.secure { "https" } else { "http" };
    let until = attributes
        .expires
        .map_or(until, |expires| expires.min(until));
    let mut param = json!({
        "name": attributes.name,
        "value": value,
        "url": format!("{scheme}://{}{}", attributes.domain, attributes.path),
        "path": attributes.path,
        "secure": attributes.secure,
        "httpOnly": attributes.http_only,
        // Least likely to be evicted by a page that fills the jar.
        "priority": "High",
        "expires": until.0 / 1_000_000,
    });
    if let Some(map) = param.as_object_mut() {
        if !attributes.host_only {
            map.insert("domain".into(), format!(".{}", attributes.domain).into());
        }
        if let Some(same_site) = attributes.same_site {
            let text = match same_site {
                SameSite::Strict => "Strict",
                SameSite::Lax => "Lax",
                SameSite::None => "None",
            };
            map.insert("sameSite".into(), text.into());
        }
        if let Some(key) = &attributes.partition_key {
            map.insert("partitionKey".into(), partition(key));
        }
    }
    param
}

/// Setting these takes the cookie out of the jar, whether it is host-only or
/// for the whole domain.
///
/// They are set as `Secure` from https whatever the cookie was: it is found by
/// name, domain, path and partition, and a secure one yields to nothing less.
fn expired(cookie: &JarCookie) -> impl Iterator<Item = Value> + use<> {
    let mut host_only = json!({
        "name": cookie.name,
        "value": "",
        "url": format!("https://{}{}", cookie.domain, cookie.path),
        "path": cookie.path,
        "secure": true,
        "expires": 1,
    });
    if let (Some(map), Some(key)) = (host_only.as_object_mut(), &cookie.partition_key) {
        map.insert("partitionKey".into(), partition(key));
    }
    let mut whole = host_only.clone();
    if let Some(map) = whole.as_object_mut() {
        map.insert("domain".into(), format!(".{}", cookie.domain).into());
    }
    [host_only, whole].into_iter()
}

fn jar_name(attributes: &CookieAttributes) -> JarCookie {
    JarCookie {
        name: attributes.name.clone(),
        domain: attributes.domain.clone(),
        path: attributes.path.clone(),
        partition_key: attributes.partition_key.clone(),
    }
}

fn partition(key: &PartitionKey) -> Value {
    json!({"topLevelSite": key.top_level_site, "hasCrossSiteAncestor": key.has_cross_site_ancestor})
}

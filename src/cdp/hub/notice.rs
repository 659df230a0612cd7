//! What stands where a refused request would have led: a page of plain words for a
//! person, or problem details for a script; the same facts as fields for a model.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::{
    broker::lease::Leases,
    cdp::paused::Paused,
    model::{
        action::{Refusal, RequestAction, Rule},
        origin::Origin,
        scope::Scope,
    },
};

/// A 403 in place of a site's answer.
pub(super) struct Answer {
    pub(super) headers: Value,
    pub(super) body: String,
}

/// The notice for a page or frame. Nothing in it may run, load or be kept.
pub(super) fn page(refusal: &Refusal, ask: Option<&Value>) -> Answer {
    let headers = json!([
        {"name": "Content-Type", "value": "text/html; charset=utf-8"},
        {"name": "Cache-Control", "value": "no-store"},
        {"name": "Content-Security-Policy", "value": "default-src 'none'; style-src 'unsafe-inline'"},
        {"name": "X-Content-Type-Options", "value": "nosniff"},
        {"name": "Referrer-Policy", "value": "no-referrer"},
        {"name": "X-Hallpass", "value": "refused"},
    ]);
    Answer {
        headers,
        body: html(refusal, ask),
    }
}

/// Problem details (RFC 9457) for a script that could have read the answer: one of
/// the same origin, or one whose request was held and so might have been answered.
/// `None` where it could not have.
pub(super) fn problem(
    refusal: &Refusal,
    action: &RequestAction,
    paused: &Paused<'_>,
    ask: Option<&Value>,
) -> Option<Answer> {
    let held = matches!(
        refusal.rule,
        Rule::Held | Rule::HoldDenied | Rule::HoldExpired | Rule::TooManyHolds
    );
    let own = action.page.is_some() && action.page == Origin::of(&action.url);
    if !own && !held {
        return None;
    }
    let mut headers = vec![
        json!({"name": "Content-Type", "value": "application/problem+json"}),
        json!({"name": "Cache-Control", "value": "no-store"}),
        json!({"name": "X-Hallpass", "value": "refused"}),
    ];
    if let Some(origin) = paused.header("origin").filter(|_| !own) {
        headers.push(json!({"name": "Access-Control-Allow-Origin", "value": origin}));
        headers.push(json!({"name": "Access-Control-Allow-Credentials", "value": "true"}));
    }
    let mut body = json!({
        "type": format!("urn:hallpass:rule:{}", refusal.rule),
        "title": "Stopped by Hallpass",
        "status": 403,
        "detail": refusal.to_string(),
        "rule": refusal.rule,
        "refused": refusal.what,
        "what_to_do": refusal.advice(),
    });
    if let Some(body) = body.as_object_mut() {
        let mut add = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        add("delegation", refusal.delegation.map(|id| json!(id)));
        add("hold", refusal.hold.map(|id| json!(id)));
        let policies = (!refusal.policies.is_empty()).then(|| json!(refusal.policies));
        add("policies", policies);
        add("ask", ask.cloned());
    }
    Some(Answer {
        headers: headers.into(),
        body: body.to_string(),
    })
}

/// The body of a `POST /v1/delegations` that would cover what was refused; none
/// where no delegation could.
pub(super) fn ask(refusal: &Refusal, action: &RequestAction, leases: &Leases) -> Option<Value> {
    let asks = matches!(
        refusal.rule,
        Rule::OriginOutOfScope
            | Rule::PathOutOfScope
            | Rule::MethodOutOfScope
            | Rule::NavigationOutOfScope
            | Rule::WindowClosed
            | Rule::BudgetUsedUp
    );
    let origin = Origin::of(&action.url).filter(|_| asks)?;
    // What was lent before is asked for again, with what was missing.
    let nearest = leases.find(|lease| {
        (Some(lease.delegation) == refusal.delegation && lease.scope.covers_origin(&origin))
            .then(|| lease.clone())
    });
    let scope = match &nearest {
        Some(lease) => lease.scope.clone(),
        None => Scope::reading(vec![origin.to_string().parse().ok()?]),
    };
    let mut scope = serde_json::to_value(scope).ok()?;
    let mut add = |list: &str, item: &str| {
        let list = scope.get_mut(list).and_then(Value::as_array_mut);
        if let Some(list) = list.filter(|list| !list.iter().any(|known| known == item)) {
            list.push(item.into());
        }
    };
    add("methods", &action.method);
    if refusal.rule == Rule::PathOutOfScope {
        add("paths", action.url.path());
    }
    let cookies: Vec<Value> = nearest
        .iter()
        .flat_map(|lease| &lease.cookies)
        .map(|cookie| {
            json!({"name": cookie.attributes.name, "origin": origin, "delivery": cookie.delivery})
        })
        .collect();
    Some(json!({
        "purpose": format!("(say what for) {}", refusal.what),
        "scope": scope,
        "cookies": cookies,
    }))
}

/// The notice.
fn html(refusal: &Refusal, ask: Option<&Value>) -> String {
    let what = escape(&refusal.what);
    let reason = escape(refusal.reason());
    let advice = escape(refusal.advice());
    let delegation = refusal.delegation.map_or_else(
        || "none of this session covers it".to_owned(),
        |delegation| delegation.to_string(),
    );
    let mut more = String::new();
    if let Some(hold) = refusal.hold {
        let _ = write!(more, "\n<dt>Hold</dt><dd id=\"hold\">{hold}</dd>");
    }
    if !refusal.policies.is_empty() {
        let policies = escape(&refusal.policies.join(", "));
        let _ = write!(
            more,
            "\n<dt>Policies</dt><dd id=\"policies\">{policies}</dd>"
        );
    }
    let ask = ask.map_or_else(String::new, |ask| {
        let text = serde_json::to_string_pretty(ask).unwrap_or_default();
        format!(
            "\n<p>What to ask for, as the body of <code>POST /v1/delegations</code>:</p>\n<pre id=\"ask\">{}</pre>",
            escape(&text)
        )
    });
    let rule = refusal.rule;
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Stopped by Hallpass</title>
<style>
body {{ margin: 0; background: #f6f5f1; color: #1d1c1a; font: 16px/1.55 system-ui, sans-serif; }}
main {{ max-width: 40rem; margin: 12vh auto; padding: 2rem 2.25rem; background: #fff; border: 1px solid #dedbd2; border-top: 4px solid #b3401f; }}
h1 {{ margin: 0 0 .75rem; font-size: 1.5rem; line-height: 1.25; }}
p {{ margin: 0 0 1rem; }}
dl {{ display: grid; grid-template-columns: 8rem 1fr; gap: .4rem 1rem; margin: 1.5rem 0; padding: 1rem 0; border: solid #eceae4; border-width: 1px 0; }}
dt {{ color: #6b675e; }}
dd {{ margin: 0; overflow-wrap: anywhere; font-family: ui-monospace, monospace; font-size: .9rem; }}
pre {{ margin: 0; padding: .9rem 1rem; background: #f6f5f1; font: .8rem/1.5 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }}
</style>
</head>
<body>
<main>
<h1>Hallpass stopped this page</h1>
<p>It was not opened, and the site was not contacted: {reason}.</p>
<dl>
<dt>Refused</dt><dd id="refused">{what}</dd>
<dt>Rule</dt><dd id="rule">{rule}</dd>
<dt>Delegation</dt><dd id="delegation">{delegation}</dd>{more}
</dl>
<p id="advice"><strong>What to do:</strong> {advice}.</p>{ask}
</main>
</body>
</html>
"#
    )
}

fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::action::Rule;

    #[test]
    fn it_says_what_why_and_what_next_and_cannot_be_written_into() {
        let refusal = Refusal::new(
            Rule::OriginOutOfScope,
            "GET https://b.test/<script>alert(1)</script>",
        );
        let page = page(&refusal, None).body;
        assert!(page.contains("origin-out-of-scope"));
        assert!(page.contains("POST /v1/delegations"));
        assert!(page.contains("&lt;script&gt;"));
        assert!(!page.contains("<script"));
    }
}

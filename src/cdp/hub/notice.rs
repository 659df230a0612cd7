//! The page that stands where a refused navigation would have led: plain words
//! for a person, the same facts as fields for a model.

use serde_json::{Value, json};

use crate::model::action::Refusal;

/// Headers of the notice: nothing in it may run, load or be kept.
pub(super) fn headers() -> Value {
    json!([
        {"name": "Content-Type", "value": "text/html; charset=utf-8"},
        {"name": "Cache-Control", "value": "no-store"},
        {"name": "Content-Security-Policy", "value": "default-src 'none'; style-src 'unsafe-inline'"},
        {"name": "X-Content-Type-Options", "value": "nosniff"},
        {"name": "Referrer-Policy", "value": "no-referrer"},
        {"name": "X-Hallpass", "value": "refused"},
    ])
}

/// The notice.
pub(super) fn page(refusal: &Refusal) -> String {
    let what = escape(&refusal.what);
    let reason = escape(refusal.reason());
    let advice = escape(refusal.advice());
    let delegation = refusal.delegation.map_or_else(
        || "none of this session covers it".to_owned(),
        |delegation| delegation.to_string(),
    );
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
</style>
</head>
<body>
<main>
<h1>Hallpass stopped this page</h1>
<p>It was not opened, and the site was not contacted: {reason}.</p>
<dl>
<dt>Refused</dt><dd id="refused">{what}</dd>
<dt>Rule</dt><dd id="rule">{rule}</dd>
<dt>Delegation</dt><dd id="delegation">{delegation}</dd>
</dl>
<p id="advice"><strong>What to do:</strong> {advice}.</p>
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
        let page = page(&refusal);
        assert!(page.contains("origin-out-of-scope"));
        assert!(page.contains("POST /v1/delegations"));
        assert!(page.contains("&lt;script&gt;"));
        assert!(!page.contains("<script"));
    }
}

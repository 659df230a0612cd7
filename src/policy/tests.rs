//! What is decided, as a table that can be read; and what must hold whatever is
//! asked.

use std::{fmt::Write as _, sync::LazyLock};

use proptest::prelude::*;
use url::Url;
use uuid::Uuid;

use super::{
    bundle::{Bundle, BundleError, DEFAULT, Ruling},
    classify::{Classes, SiteRule},
    question::{Act, Question, SCHEMA},
    *,
};
use crate::{
    broker::lease::{Leases, LentCookie},
    model::{
        action::{RequestAction, Rule},
        body::Body,
        cookie::CookieAttributes,
        delegation::{CloseReason, Delivery, LiveWindow, Window},
        id::CredentialId,
        scope::Scope,
        secret::Secret,
        time::{BootTime, Now, Timestamp},
    },
};

const CASES: &str = include_str!("tests/cases.tsv");

const NOW: Now = Now {
    wall: Timestamp(600_000_000),
    boot: BootTime(600_000_000),
};

/// Sites that are told otherwise, as an operator would.
const SITES: &str = r#"[
    {"origin": "https://desk.test", "path": "/find", "methods": ["POST"], "class": "read"},
    {"origin": "https://desk.test", "path": "/bye", "class": "secrets"},
    {"origin": "https://desk.test", "path": "/door/*", "class": "write"},
    {"origin": "https://desk.test", "path": "/account/tokens-of-thanks", "class": "read"}
]"#;

fn classes() -> Classes {
    let sites: Vec<SiteRule> = serde_json::from_str(SITES).unwrap();
    Classes::with(sites)
}

fn authority(bundle: &str) -> Authority {
    Authority {
        agent: AgentId::from_uuid(Uuid::from_u128(1)),
        policies: Arc::new(Policies::new(Bundle::read(bundle, classes()).unwrap())),
    }
}

fn lease(number: u128, scope: &str, lent: bool, from: i64, until: i64) -> Arc<Lease> {
    let scope: Scope = serde_json::from_str(scope).unwrap();
    let attributes = CookieAttributes {
        name: "sid".into(),
        domain: "desk.test".into(),
        host_only: true,
        path: "/".into(),
        secure: true,
        http_only: true,
        same_site: None,
        partition_key: None,
        expires: None,
    };
    let cookie = || {
        Arc::new(LentCookie::new(
            CredentialId::from_uuid(Uuid::from_u128(number)),
            attributes.clone(),
            Delivery::Wire,
            Secret::new("v".into()),
        ))
    };
    let boot = |seconds: i64| BootTime(u64::try_from(seconds * 1_000_000).unwrap());
    Arc::new(Lease::new(
        DelegationId::from_uuid(Uuid::from_u128(number)),
        PersonId::from_uuid(Uuid::from_u128(2)),
        PersonId::from_uuid(Uuid::from_u128(3)),
        scope,
        LiveWindow {
            window: Window {
                start: Timestamp(from * 1_000_000),
                end: Timestamp(until * 1_000_000),
            },
            opens: boot(from),
            closes: boot(until),
        },
        if lent { vec![cookie()] } else { Vec::new() },
    ))
}

/// What a row of the table is decided under.
fn under(name: &str) -> Leases {
    const ALL: &str = r#""methods":["GET","HEAD","OPTIONS","POST","PUT","PATCH","DELETE","MKCOL"]"#;
    let desk = |rest: &str| format!(r#"{{"origins":["https://desk.test"],{ALL}{rest}}}"#);
    let open = |number, scope: &str, lent| lease(number, scope, lent, 0, 1200);
    let list = match name {
        "none" => vec![],
        // Everything on one origin, with a cookie; changes wait.
        "lent" => vec![open(10, &desk(""), true)],
        // The same, and changes go.
        "going" => vec![open(11, &desk(r#","writes":"allow""#), true)],
        // The same without a cookie.
        "bare" => vec![open(12, &desk(""), false)],
        // Both at once.
        "two" => vec![open(12, &desk(""), false), open(10, &desk(""), true)],
        // Reading methods alone.
        "reading" => vec![open(13, r#"{"origins":["https://desk.test"]}"#, true)],
        // One folder.
        "folder" => vec![open(14, &desk(r#","paths":["/tickets/*"]"#), true)],
        // An origin of its own, and others that are listed.
        "listed" => vec![open(
            15,
            &format!(
                r#"{{"origins":["https://home.test"],"load":["https://cdn.test"],"connect":["https://api.test"],{ALL}}}"#
            ),
            true,
        )],
        "closed" => {
            let lease = open(16, &desk(""), true);
            lease.close(CloseReason::Revoked);
            vec![lease]
        }
        "early" => vec![lease(17, &desk(""), true, 900, 1200)],
        "late" => vec![lease(18, &desk(""), true, 0, 600)],
        _ => panic!("{name}"),
    };
    let leases = Leases::default();
    for lease in list {
        leases.add(lease);
    }
    leases
}

fn body(text: &str) -> Body {
    let (kind, rest) = text.split_once(':').unwrap_or((text, ""));
    let read = |kind: &str, bytes: &[u8]| Body::read(kind, bytes, true);
    match kind {
        "-" => Body::default(),
        "form" => read("application/x-www-form-urlencoded", rest.as_bytes()),
        "json" => read("application/json", rest.as_bytes()),
        "gql" => read(
            "application/json",
            serde_json::json!({ "query": rest }).to_string().as_bytes(),
        ),
        "text" => read("text/plain", rest.as_bytes()),
        "multi" => {
            let value = if rest == "_method" { "delete" } else { "x" };
            let part = format!(
                "--B\r\nContent-Disposition: form-data; name=\"{rest}\"\r\n\r\n{value}\r\n--B--\r\n"
            );
            read("multipart/form-data; boundary=B", part.as_bytes())
        }
        "unseen" => Body::read("", b"x", false),
        _ => panic!("{text}"),
    }
}

fn request(text: &str, destination: &str, carries: &str) -> RequestAction {
    let (method, url) = text.split_once(' ').unwrap();
    let url = Url::parse("https://desk.test").unwrap().join(url).unwrap();
    let destination = serde_json::from_value(destination.into()).unwrap();
    RequestAction {
        body: body(carries),
        ..RequestAction::new(method, url, destination)
    }
}

fn told(decision: &Decision) -> (String, String) {
    let dashed = |text: String| if text.is_empty() { "-".into() } else { text };
    match decision {
        Decision::Allow(permit) => ("go".into(), dashed(permit.policies().join(","))),
        Decision::Hold(held) => ("hold".into(), dashed(held.policies.join(","))),
        Decision::Deny(refusal) => (
            format!("no {}", refusal.rule),
            dashed(refusal.policies.join(",")),
        ),
    }
}

/// The table as this bundle decides it.
fn decided(authority: &Authority) -> String {
    let mut table = String::new();
    for line in CASES.lines() {
        if line.starts_with('#') {
            let _ = writeln!(table, "{line}");
            continue;
        }
        let cells: Vec<&str> = line.split('\t').collect();
        let [setting, asked, destination, carries, ..] = cells[..] else {
            panic!("{line}");
        };
        let (name, answered) = match setting.split_once(' ') {
            Some((name, "answered")) => (name, true),
            _ => (setting, false),
        };
        let action = request(asked, destination, carries);
        let class = authority.policies.bundle().classes().classify(&action);
        let decision = decide_request(&action, &under(name), authority, answered, NOW);
        let (outcome, policies) = told(&decision);
        let _ = writeln!(
            table,
            "{setting}\t{asked}\t{destination}\t{carries}\t{class}\t{outcome}\t{policies}"
        );
    }
    table
}

#[test]
fn the_table_holds() {
    let rows = CASES.lines().filter(|line| !line.starts_with('#')).count();
    assert!(rows >= 150, "{rows}");
    let decided = decided(&authority(DEFAULT));
    let wrong: Vec<_> = decided
        .lines()
        .zip(CASES.lines())
        .filter(|(is, should)| is != should)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The policies of the bundle that ships, one a text.
fn statements() -> Vec<&'static str> {
    DEFAULT
        .split_inclusive(";\n")
        .filter(|text| text.contains("@id"))
        .collect()
}

#[test]
fn every_policy_that_ships_is_needed() {
    let all = statements();
    assert_eq!(
        all.len(),
        authority(DEFAULT).policies.bundle().ids().count()
    );
    for left_out in 0..all.len() {
        let mut rest = all.clone();
        let removed = rest.remove(left_out);
        let decided = decided(&authority(&rest.concat()));
        // What is asked besides requests is no row of the table.
        let besides = ["\"connections\"", "\"page-work\""];
        if besides.iter().any(|name| removed.contains(name)) {
            let bundle = Bundle::read(&rest.concat(), Classes::default()).unwrap();
            let agent = AgentId::from_uuid(Uuid::from_u128(1));
            let refused = [Act::Tunnel, Act::Script, Act::Download, Act::Upload]
                .map(|act| bundle.ask(&Question::any(agent, act)))
                .iter()
                .any(|ruling| matches!(ruling, Ruling::Forbid { .. }));
            assert!(refused, "nothing needs {removed}");
            continue;
        }
        assert_ne!(decided, CASES, "no row needs {removed}");
    }
}

#[test]
fn what_is_asked_fits_the_schema() {
    assert!(SCHEMA.contains("action \"navigate\""));
    let bundle = Bundle::read(DEFAULT, Classes::default()).unwrap();
    let agent = AgentId::from_uuid(Uuid::from_u128(1));
    for act in Act::ALL {
        // In tests each question is held against the schema.
        Question::any(agent, act).put().unwrap();
        if let Ruling::Forbid { says, .. } = bundle.ask(&Question::any(agent, act)) {
            assert!(!says.contains("could not be asked"), "{act:?}: {says}");
        }
    }
}

#[test]
fn an_error_never_allows() {
    // Adds up where it can and fails where it cannot.
    let failing = format!(
        "{DEFAULT}
        @id(\"adds-up\") forbid (principal, action, resource)
        when {{ context.requests + 9223372036854775807 < 0 }};"
    );
    let authority = authority(&failing);
    let leases = under("lent");
    let action = request("GET /tickets/", "page", "-");
    let decide = || decide_request(&action, &leases, &authority, false, NOW);
    assert!(matches!(decide(), Decision::Allow(_)));
    leases.each(|lease| assert!(lease.spend_request(false)));
    match decide() {
        Decision::Deny(refusal) => {
            assert_eq!(refusal.rule, Rule::Policy);
            assert!(refusal.reason().contains("overflow"), "{refusal}");
        }
        other => panic!("{other:?}"),
    }
    // Held ones are no way round it: an answer does not turn an error into a yes.
    let action = request("DELETE /tickets/7", "connect", "-");
    for answered in [false, true] {
        let decision = decide_request(&action, &leases, &authority, answered, NOW);
        assert!(matches!(decision, Decision::Deny(_)), "{decision:?}");
    }
}

fn wrong(text: &str) -> Vec<BundleError> {
    Bundle::read(text, Classes::default()).unwrap_err()
}

#[test]
fn what_is_wrong_is_told_by_line_and_column() {
    let all = "(principal, action, resource)";
    for (text, line, column, word) in [
        (
            format!("@id(\"a\")\npermit {all}\nwhen {{ }};"),
            3,
            1,
            "cannot be empty",
        ),
        (
            format!("// A.\n@id(\"a\") permit {all}\nwhen {{ context.persn == \"x\" }};"),
            3,
            8,
            "persn",
        ),
        (
            "@id(\"a\")\npermit (principal, action == Hallpass::Action::\"reed\", resource);"
                .to_owned(),
            2,
            30,
            "reed",
        ),
        (
            format!("@id(\"a\") permit {all} when {{ context.windowLeft == \"x\" }};"),
            1,
            54,
            "",
        ),
        (format!("\n  permit {all};"), 2, 3, "@id"),
        (
            format!("@id(\"a\") permit {all};\n@id(\"a\") forbid {all};"),
            2,
            1,
            "stands twice",
        ),
        (
            format!("@id(\"a\") @hold(\"x\") permit {all};"),
            1,
            1,
            "for policies that forbid",
        ),
        (
            format!("@id(\"a\") @sayz(\"x\") forbid {all};"),
            1,
            1,
            "means nothing here",
        ),
        (format!("@id(\"a`b\") forbid {all};"), 1, 1, "@id"),
        (
            "@id(\"a\") permit (principal == ?principal, action, resource);".to_owned(),
            1,
            1,
            "template",
        ),
    ] {
        let errors = wrong(&text);
        let error = &errors[0];
        assert!(error.message.contains(word), "{text}: {error}");
        assert_eq!(
            (error.line, error.column),
            (line, column),
            "{text}: {error}"
        );
    }
}

#[test]
fn nobody_is_asked_about_what_an_answer_would_not_let_through() {
    let hold = "@id(\"h\") @hold(\"x\") forbid (principal, action, resource);";
    let never =
        "@id(\"n\") @says(\"never\") forbid (principal, action, resource) when { context.lent };";
    let permit = "@id(\"p\") permit (principal, action, resource);";
    let action = request("GET /", "page", "-");
    for (bundle, expected) in [
        (hold.to_owned(), ("no policy", "-")),
        (format!("{permit}{hold}"), ("hold", "h")),
        (format!("{permit}{never}{hold}"), ("no policy", "n")),
    ] {
        let decision = decide_request(&action, &under("lent"), &authority(&bundle), false, NOW);
        let (outcome, policies) = told(&decision);
        assert_eq!((&*outcome, &*policies), expected, "{bundle}");
    }
}

#[test]
fn a_policy_may_look_at_everything_that_the_schema_names() {
    let action = RequestAction {
        page: Some("https://desk.test".parse().unwrap()),
        ..request("POST /tickets/7", "page", "form:note=a&state=b")
    };
    for condition in [
        "principal == Hallpass::Agent::\"agt_aaaaaaaaaaaaaaaaaaaaaaaaae\"",
        "action == Hallpass::Action::\"write\"",
        "resource.origin == \"https://desk.test\" && resource.host == \"desk.test\"",
        "resource.scheme == \"https\" && resource.port == 443 && resource.path like \"/tickets/*\"",
        "context.person != context.approver",
        "context.delegation like \"del_*\" && context.lent && !context.secondSystem",
        "context.method == \"POST\" && context.destination == \"page\" && context.sameSite",
        "context.page == \"https://desk.test\" && context.windowLeft == 600 && context.hour == 0",
        "context.requests == 0 && context.writes == 0 && context.bodySize == 14",
        "context.body == \"form\" && context.fields.containsAll([\"note\", \"state\"])",
        "context.graphql == \"\"",
    ] {
        let bundle = format!(
            "{DEFAULT} @id(\"x\") forbid (principal, action, resource) when {{ {condition} }};"
        );
        let decision = decide_request(&action, &under("going"), &authority(&bundle), false, NOW);
        assert_eq!(told(&decision).1, "x", "{condition}");
    }
}

#[test]
fn a_policy_of_one_agent_is_not_asked_about_another() {
    let agent = "agt_aaaaaaaaaaaaaaaaaaaaaaaaae";
    let bundle = format!(
        "{DEFAULT} @id(\"x\") forbid (principal == Hallpass::Agent::\"{agent}\", action, resource);"
    );
    let mine = authority(&bundle);
    assert_eq!(mine.agent.to_string(), agent);
    let action = request("GET /", "page", "-");
    let decide =
        |authority: &Authority| decide_request(&action, &under("lent"), authority, false, NOW);
    assert!(matches!(decide(&mine), Decision::Deny(_)));
    let other = Authority {
        agent: AgentId::from_uuid(Uuid::from_u128(9)),
        ..mine
    };
    assert!(matches!(decide(&other), Decision::Allow(_)));
}

#[test]
fn a_context_that_a_client_made_is_lent_nothing() {
    for (name, asked, own, other) in [
        ("lent", "GET /tickets/", ("go", 1), ("go", 0)),
        ("lent", "POST /tickets/7", ("hold", 0), ("go", 0)),
        ("lent", "GET /login", ("no policy", 0), ("go", 0)),
    ] {
        for (own_context, expected) in [(true, own), (false, other)] {
            let action = RequestAction {
                own_context,
                ..request(asked, "page", "-")
            };
            let decision = decide_request(&action, &under(name), &SHIPPED, false, NOW);
            let lending = match &decision {
                Decision::Allow(permit) => permit.lending().len(),
                Decision::Hold(_) | Decision::Deny(_) => 0,
            };
            assert_eq!(
                (&*told(&decision).0, lending),
                expected,
                "{asked} {own_context}"
            );
        }
    }
}

#[test]
fn nobody_answers_for_what_another_person_lends() {
    let leases = under("lent");
    let own = leases.all().remove(0);
    let other = Lease::new(
        DelegationId::from_uuid(Uuid::from_u128(30)),
        PersonId::from_uuid(Uuid::from_u128(31)),
        PersonId::from_uuid(Uuid::from_u128(31)),
        own.scope.clone(),
        own.live,
        own.cookies.clone(),
    );
    leases.add(Arc::new(other));
    let write = request("POST /tickets/7", "page", "form:note=a");
    for answered in [false, true] {
        let decision = decide_request(&write, &leases, &SHIPPED, answered, NOW);
        let Decision::Deny(refusal) = decision else {
            panic!("{decision:?}");
        };
        assert_eq!(refusal.reason(), decide::MANY_LENDERS);
    }
    // What waits for nobody goes.
    let read = request("GET /tickets/7", "page", "-");
    let decision = decide_request(&read, &leases, &SHIPPED, false, NOW);
    assert!(matches!(decision, Decision::Allow(_)));
}

/// What Cedar itself says to all policies at once: what is satisfied, or an error.
fn cedar(text: &str, question: &Question<'_>) -> Result<Vec<String>, ()> {
    use cedar_policy::{Authorizer, Effect, PolicySet};
    let all: PolicySet = text.parse().unwrap();
    let (request, entities) = question.put().unwrap();
    let mut satisfied = Vec::new();
    // One effect at a time: with both, Cedar tells of the one that decides.
    for effect in [Effect::Permit, Effect::Forbid] {
        let some = all.policies().filter(|policy| policy.effect() == effect);
        let some = PolicySet::from_policies(some.cloned()).unwrap();
        let answer = Authorizer::new().is_authorized(&request, &some, &entities);
        if answer.diagnostics().errors().next().is_some() {
            return Err(());
        }
        for id in answer.diagnostics().reason() {
            satisfied.push(
                some.policy(id)
                    .unwrap()
                    .annotation("id")
                    .unwrap()
                    .to_owned(),
            );
        }
    }
    satisfied.sort_unstable();
    Ok(satisfied)
}

const CONDITIONS: [&str; 24] = [
    "when { true }",
    "when { context.lent }",
    "unless { context.lent }",
    "when { !context.secondSystem && context.sameSite }",
    "when { context.method == \"POST\" }",
    "when { \"GET\" == context.method } when { context.destination == \"page\" }",
    "when { context.method != \"GET\" && context.fields.contains(\"a\") }",
    "when { context.fields.contains(\"a\") && context.method == \"POST\" }",
    "when { context.lent == false }",
    "when { context.bodySize > 3 && 5 >= context.windowLeft }",
    "when { context.hour < 24 && context.requests + 9223372036854775807 > 0 }",
    "when { context.method == \"GET\" && context.requests + 9223372036854775807 > 0 }",
    "when { resource.path like \"/tickets/*\" }",
    "when { resource.path like \"*/7*\" && resource.host like \"*desk*\" }",
    "unless { resource.path like \"/*\" }",
    "unless { context.lent && context.sameSite }",
    "when { resource.origin == \"https://desk.test\" && resource.port == 443 }",
    "when { resource.scheme == \"http\" || context.lent }",
    "when { context.graphql == \"mutation\" }",
    "when { context.body == \"form\" && context.delegation like \"del_*\" }",
    "when { if context.lent then context.sameSite else true }",
    "when { principal == Hallpass::Agent::\"agt_aaaaaaaaaaaaaaaaaaaaaaaaae\" }",
    "when { context.person == context.approver }",
    "when { [\"GET\", \"HEAD\"].contains(context.method) }",
];

/// How much a decision allows: more is more.
fn rank(decision: &Decision) -> u8 {
    match decision {
        Decision::Allow(_) => 2,
        Decision::Hold(_) => 1,
        Decision::Deny(_) => 0,
    }
}

static SHIPPED: LazyLock<Authority> = LazyLock::new(|| authority(DEFAULT));

prop_compose! {
    fn any_request()(
        method in prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH"]),
        origin in prop::sample::select(vec!["https://desk.test", "https://cdn.test", "https://api.test", "http://desk.test"]),
        path in prop::sample::select(vec!["/", "/tickets/7", "/tickets/7/delete", "/people/7", "/login", "/graphql", "/tickets/%2e%2e/x"]),
        query in prop::sample::select(vec!["", "?action=delete", "?q=1"]),
        destination in prop::sample::select(vec!["page", "frame", "load", "connect"]),
        carries in prop::sample::select(vec!["-", "form:a=1", "form:_method=delete", "gql:{ a }", "gql:mutation { a }", "unseen"]),
    ) -> RequestAction {
        request(&format!("{method} {origin}{path}{query}"), destination, carries)
    }
}

const WIDE: &str = r#"{"origins":["https://desk.test","http://desk.test"],"methods":["GET","HEAD","POST","PUT","DELETE","PATCH"],"load":["https://cdn.test"],"connect":["https://api.test"],"writes":"allow"}"#;

fn one(scope: &str, lent: bool) -> Leases {
    let leases = Leases::default();
    leases.add(lease(20, scope, lent, 0, 1200));
    leases
}

proptest! {
    #[test]
    fn a_narrower_scope_never_allows_more(
        action in any_request(),
        lent: bool,
        answered: bool,
        narrower in prop::sample::select(vec![
            r#"{"origins":["https://desk.test"],"methods":["GET","HEAD","POST","PUT","DELETE","PATCH"],"load":["https://cdn.test"],"connect":["https://api.test"],"writes":"allow"}"#,
            r#"{"origins":["https://desk.test","http://desk.test"],"methods":["GET","POST"],"load":["https://cdn.test"],"writes":"allow"}"#,
            r#"{"origins":["https://desk.test"],"paths":["/tickets/*"],"methods":["GET","POST","DELETE"],"writes":"hold"}"#,
            r#"{"origins":["https://desk.test","http://desk.test"],"methods":["GET","HEAD","POST","PUT","DELETE","PATCH"],"load":["https://cdn.test"],"connect":["https://api.test"],"writes":"hold"}"#,
        ]),
    ) {
        let decide = |scope: &str| rank(&decide_request(&action, &one(scope, lent), &SHIPPED, answered, NOW));
        prop_assert!(decide(narrower) <= decide(WIDE));
    }

    #[test]
    fn a_further_forbid_never_allows_more(
        action in any_request(),
        lent: bool,
        answered: bool,
        held: bool,
        condition in prop::sample::select(vec![
            "true", "false", "context.lent", "!context.lent", "context.method == \"POST\"",
            "resource.path like \"/tickets/*\"", "context.body == \"form\"", "context.requests + 9223372036854775807 > 0",
        ]),
    ) {
        let mark = if held { "@hold(\"x\")" } else { "" };
        let more = format!("{DEFAULT} @id(\"x\") {mark} forbid (principal, action, resource) when {{ {condition} }};");
        let more = authority(&more);
        let decide = |authority: &Authority| rank(&decide_request(&action, &one(WIDE, lent), authority, answered, NOW));
        prop_assert!(decide(&more) <= decide(&SHIPPED));
    }

    #[test]
    fn a_further_lease_that_lends_never_turns_a_no_of_the_policies_into_a_yes(
        action in any_request(),
        answered: bool,
    ) {
        let alone = decide_request(&action, &one(WIDE, true), &SHIPPED, answered, NOW);
        let leases = one(WIDE, true);
        leases.add(lease(21, WIDE, false, 0, 1200));
        let both = decide_request(&action, &leases, &SHIPPED, answered, NOW);
        if matches!(&alone, Decision::Deny(refusal) if refusal.rule == Rule::Policy) {
            prop_assert!(matches!(both, Decision::Deny(_)));
        }
    }

    #[test]
    fn a_closed_window_allows_nothing(action in any_request(), answered: bool) {
        let leases = one(WIDE, true);
        leases.each(|lease| { lease.close(CloseReason::Revoked); });
        let decision = decide_request(&action, &leases, &SHIPPED, answered, NOW);
        prop_assert!(matches!(decision, Decision::Deny(_)));
    }
}

proptest! {
    // Cedar reads each bundle anew, which takes its time.
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_is_passed_over_is_what_cedar_would_not_have_met(
        action in any_request(),
        lent: bool,
        spent: bool,
        some in prop::collection::vec((0..CONDITIONS.len(), any::<bool>()), 1..6),
    ) {
        let mut text = String::new();
        for (number, (condition, permits)) in some.iter().enumerate() {
            let effect = if *permits { "permit" } else { "forbid" };
            let condition = CONDITIONS[*condition];
            let _ = writeln!(text, "@id(\"p{number}\") {effect} (principal, action, resource) {condition};");
        }
        let bundle = Bundle::read(&text, Classes::default()).unwrap();
        let lease = lease(20, WIDE, lent, 0, 1200);
        if spent {
            assert!(lease.spend_request(false));
        }
        let class = Classes::default().classify(&action);
        let agent = AgentId::from_uuid(Uuid::from_u128(1));
        let question = Question::request(agent, &action, class, (&lease, lent, false), NOW);
        let effect_of = |id: &str| some[id[1..].parse::<usize>().unwrap()].1;
        match (bundle.ask(&question), cedar(&text, &question)) {
            (Ruling::Permit(policies), Ok(satisfied)) => prop_assert_eq!(policies, satisfied),
            (Ruling::Forbid { policies, .. }, Ok(mut satisfied)) => {
                satisfied.retain(|id| !effect_of(id));
                prop_assert_eq!(policies, satisfied);
            }
            (Ruling::Forbid { says, .. }, Err(())) => prop_assert!(says.contains("could not be asked")),
            (ruling, cedar) => prop_assert!(false, "{:?} {:?}", ruling, cedar),
        }
    }
}

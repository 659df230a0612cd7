use proptest::prelude::*;

use super::*;
use crate::model::cookie::{PartitionKey, SameSite};

const NOW: Timestamp = Timestamp(1_764_000_000_000_000); // 2025-11-24T16:00:00Z
const LATER: i64 = 1_800_000_000;

fn read(format: Format, text: &str) -> Parsed {
    parse(format, text.as_bytes(), NOW).unwrap()
}

fn reasons(parsed: &Parsed) -> Vec<(usize, &str)> {
    let told = |refused: &'_ RefusedCookie| refused.position;
    parsed
        .refused
        .iter()
        .map(|refused| (told(refused), refused.reason.as_str()))
        .collect()
}

fn values(parsed: &Parsed) -> Vec<&str> {
    parsed.cookies.iter().map(|c| c.value.expose()).collect()
}

fn attributes() -> CookieAttributes {
    CookieAttributes {
        name: "sid".into(),
        domain: "app.example.com".into(),
        host_only: true,
        path: "/".into(),
        secure: false,
        http_only: false,
        same_site: None,
        partition_key: None,
        expires: None,
    }
}

#[test]
fn cookies_txt_keeps_every_attribute_that_it_has() {
    let text = format!(
        "# Netscape HTTP Cookie File\r\n# a comment\r\n\r\n\
         app.example.com\tFALSE\t/\tFALSE\t0\tsid\tabc=def==\r\n\
         #HttpOnly_.example.com\tTRUE\t/a\tTRUE\t{LATER}\ttoken\tx y\r\n\
         example.com\ttrue\t/\tfalse\t{LATER}.5\tempty\t\n\
         example.com\tTRUE\t/\tFALSE\t0\tbare\n"
    );
    let parsed = read(Format::CookiesTxt, &text);
    assert_eq!(parsed.refused, []);
    let domain = CookieAttributes {
        domain: "example.com".into(),
        host_only: false,
        ..attributes()
    };
    let kept: Vec<_> = parsed
        .cookies
        .iter()
        .map(|c| c.attributes.clone())
        .collect();
    assert_eq!(
        kept,
        [
            attributes(),
            CookieAttributes {
                name: "token".into(),
                path: "/a".into(),
                secure: true,
                http_only: true,
                expires: Some(Timestamp(LATER * 1_000_000)),
                ..domain.clone()
            },
            CookieAttributes {
                name: "empty".into(),
                expires: Some(Timestamp(LATER * 1_000_000 + 500_000)),
                ..domain.clone()
            },
            CookieAttributes {
                name: "bare".into(),
                ..domain
            },
        ]
    );
    assert_eq!(values(&parsed), ["abc=def==", "x y", "", ""]);
}

#[test]
fn a_cut_cookies_txt_gives_its_whole_lines_and_names_the_cut_one() {
    let text = "a.test\tFALSE\t/\tFALSE\t0\tone\tfirst-value\n\
                a.test\tFALSE\t/\tFALSE\t0\ttwo\tsecond-value\n";
    let whole = text.find('\n').unwrap() + 1;
    for end in whole + 1..text.len() {
        let parsed = read(Format::CookiesTxt, &text[..end]);
        assert_eq!(values(&parsed), ["first-value"], "{end}");
        let [refused] = parsed.refused.as_slice() else {
            panic!("{end}: {parsed:?}");
        };
        assert_eq!(refused.position, 2);
        assert!(refused.reason.contains("cut off"), "{refused:?}");
    }
    assert_eq!(values(&read(Format::CookiesTxt, text)).len(), 2);
    assert_eq!(values(&read(Format::CookiesTxt, &text[..whole])).len(), 1);
}

#[test]
fn lines_that_are_no_cookies_are_refused_one_by_one() {
    let long = "v".repeat(4096);
    for (line, reason) in [
        ("a.test\tFALSE\t/\tFALSE\t0", "seven fields"),
        ("a.test\tFALSE\t/\tFALSE\t0\tsid\tv\tmore", "seven fields"),
        ("a.test\tMAYBE\t/\tFALSE\t0\tsid\tv", "include-subdomains"),
        ("a.test\tFALSE\t/\t1\t0\tsid\tv", "secure"),
        ("a.test\tFALSE\t/\tFALSE\tsoon\tsid\tv", "expiry"),
        (
            "a.test\tFALSE\t/\tFALSE\t1700000000\tsid\tv",
            "expired at 2023-11-14",
        ),
        ("a.test\tFALSE\t/\tFALSE\t1764000000\tsid\tv", "expired"),
        ("a b\tFALSE\t/\tFALSE\t0\tsid\tv", "domain is not a host"),
        ("co.uk\tTRUE\t/\tFALSE\t0\tsid\tv", "public suffix"),
        ("a.test\tFALSE\tx\tFALSE\t0\tsid\tv", "path"),
        ("a.test\tFALSE\t/\tFALSE\t0\t\tv", "name"),
        (
            "a.test\tFALSE\t/\tFALSE\t0\tsid\ta;b",
            "value has a character",
        ),
        ("a.test\tFALSE\t/\tFALSE\t0\t__Host-sid\tv", "__Host-"),
        (
            &format!("a.test\tFALSE\t/\tFALSE\t0\tsid\t{long}"),
            "longer than 4096",
        ),
    ] {
        let text = format!(
            "ok.test\tFALSE\t/\tFALSE\t0\tok\tv\n{line}\nok.test\tFALSE\t/\tFALSE\t0\tmore\tv\n"
        );
        let parsed = read(Format::CookiesTxt, &text);
        assert_eq!(parsed.cookies.len(), 2, "{line}");
        let [(2, told)] = reasons(&parsed)[..] else {
            panic!("{line}: {parsed:?}");
        };
        assert!(told.contains(reason), "{line}: {told}");
    }
    let mut text = b"a.test\tFALSE\t/\tFALSE\t0\tsid\t\xff\n".to_vec();
    text.extend_from_slice(b"a.test\tFALSE\t/\tFALSE\t0\tok\tv\n");
    let parsed = parse(Format::CookiesTxt, &text, NOW).unwrap();
    assert_eq!((parsed.cookies.len(), parsed.refused.len()), (1, 1));
}

#[test]
fn playwrights_storage_state_keeps_every_attribute() {
    let parsed = read(
        Format::StorageState,
        r#"{"cookies":[
          {"name":"sid","value":"one","domain":"app.example.com","path":"/","expires":-1,
           "httpOnly":false,"secure":false,"sameSite":"Lax"},
          {"name":"sid","value":"two","domain":".example.com","path":"/a","expires":1800000000.25,
           "httpOnly":true,"secure":true,"sameSite":"None",
           "partitionKey":"https://top.test","_crHasCrossSiteAncestor":true},
          {"name":"sid","value":"three","domain":"a.test","path":"/","expires":-1,
           "httpOnly":false,"secure":true,"sameSite":"Strict","partitionKey":"https://a.test"},
          {"name":"sid","value":"four","domain":"a.test","path":"/","expires":-1,
           "httpOnly":false,"secure":true,"sameSite":"Strict","partitionKey":"https://b.test"}],
         "origins":[{"origin":"https://app.example.com","localStorage":[{"name":"k","value":"stored-value"}]}]}"#,
    );
    assert_eq!(parsed.refused, []);
    let kept: Vec<_> = parsed
        .cookies
        .iter()
        .map(|c| c.attributes.clone())
        .collect();
    let key = |site: &str, between| {
        Some(PartitionKey {
            top_level_site: site.into(),
            has_cross_site_ancestor: between,
        })
    };
    assert_eq!(
        kept[..2],
        [
            CookieAttributes {
                same_site: Some(SameSite::Lax),
                ..attributes()
            },
            CookieAttributes {
                domain: "example.com".into(),
                host_only: false,
                path: "/a".into(),
                secure: true,
                http_only: true,
                same_site: Some(SameSite::None),
                partition_key: key("https://top.test", true),
                expires: Some(Timestamp(LATER * 1_000_000 + 250_000)),
                ..attributes()
            },
        ]
    );
    assert_eq!(kept[2].partition_key, key("https://a.test", false));
    assert_eq!(kept[3].partition_key, key("https://b.test", true));
    assert_eq!(values(&parsed), ["one", "two", "three", "four"]);
    let storage = SkippedStorage {
        origin: "https://app.example.com".into(),
        items: 1,
    };
    assert_eq!(parsed.storage, [storage]);
    assert!(!format!("{parsed:?}").contains("stored-value"));
}

#[test]
fn own_json_keeps_every_attribute_and_unspecified_is_not_lax() {
    let list = r#"[
      {"name":"sid","value":"a\u0062c","domain":"app.example.com"},
      {"name":"lax","value":"v","domain":"app.example.com","sameSite":"Lax"},
      {"name":"null","value":"v","domain":"app.example.com","sameSite":null,"expires":null,"path":null},
      {"name":"dot","value":"v","domain":".example.com"},
      {"name":"all","value":"v","domain":"example.com","hostOnly":false,"path":"/p","secure":true,
       "httpOnly":true,"sameSite":"Strict","expires":"2027-01-15T08:00:00Z",
       "partitionKey":{"topLevelSite":"https://top.test","hasCrossSiteAncestor":true}},
      {"name":"seconds","value":"v","domain":"app.example.com","expires":1800000000}
    ]"#;
    for text in [list.to_owned(), format!("\u{feff}{{\"cookies\":{list}}}")] {
        let parsed = read(Format::Json, &text);
        assert_eq!(parsed.refused, []);
        let kept = |name: &str| {
            let cookie = parsed.cookies.iter().find(|c| c.attributes.name == name);
            cookie.unwrap().attributes.clone()
        };
        assert_eq!(kept("sid"), attributes());
        assert_eq!(values(&parsed)[0], "abc");
        assert_eq!(kept("lax").same_site, Some(SameSite::Lax));
        assert_eq!(kept("null").same_site, None);
        assert_eq!(kept("dot").domain, "example.com");
        assert!(!kept("dot").host_only);
        let expires = Some(Timestamp(LATER * 1_000_000));
        assert_eq!(kept("seconds").expires, expires);
        let all = CookieAttributes {
            name: "all".into(),
            domain: "example.com".into(),
            host_only: false,
            path: "/p".into(),
            secure: true,
            http_only: true,
            same_site: Some(SameSite::Strict),
            partition_key: Some(PartitionKey {
                top_level_site: "https://top.test".into(),
                has_cross_site_ancestor: true,
            }),
            expires,
        };
        assert_eq!(kept("all"), all);
    }
}

const SECRET: &str = "correct-horse-battery";

fn with(more: &str) -> String {
    format!(r#"{{"name":"sid","value":"{SECRET}","domain":"a.test","path":"/"{more}}}"#)
}

#[test]
fn json_cookies_that_are_not_understood_are_refused_one_by_one() {
    for (cookie, reason) in [
        (with(r#","priority":"High""#), "field `priority`"),
        (with(&format!(r#","{SECRET}":1"#)), "which is not known"),
        (with(r#","path":"/x""#), "a field twice"),
        (with(&format!(r#","secure":"{SECRET}""#)), "`secure`"),
        (with(&format!(r#","sameSite":"{SECRET}""#)), "`sameSite`"),
        (with(r#","sameSite":"lax""#), "`sameSite`"),
        (with(&format!(r#","expires":"{SECRET}""#)), "`expires`"),
        (with(r#","expires":1e300"#), "`expires`"),
        (with(r#","expires":{}"#), "`expires`"),
        (with(r#","expires":-1"#), "expired"),
        (with(r#","expires":"2025-11-24T16:00:00Z""#), "expired"),
        (
            with(&format!(r#","partitionKey":"{SECRET}""#)),
            "`partitionKey`",
        ),
        (
            with(&format!(
                r#","secure":true,"partitionKey":{{"topLevelSite":"{SECRET}"}}"#
            )),
            "partition",
        ),
        (r#"{"value":"v","domain":"a.test"}"#.into(), "no `name`"),
        (r#"{"name":"sid","domain":"a.test"}"#.into(), "no `value`"),
        (r#"{"name":"sid","value":"v"}"#.into(), "no `domain`"),
        (
            r#"{"name":"sid","value":7,"domain":"a.test"}"#.into(),
            "`value` is not a text",
        ),
        (format!(r#""{SECRET}""#), "not an object"),
        (
            format!(r#"{{"name":"sid","value":"{SECRET}","domain":"{SECRET}/"}}"#),
            "domain",
        ),
    ] {
        check_refused(Format::Json, &cookie, reason);
    }
}

#[test]
fn playwright_cookies_that_are_not_understood_are_refused_one_by_one() {
    for (cookie, reason) in [
        (with(r#","hostOnly":true"#), "field `hostOnly`"),
        (
            with(&format!(r#","secure":true,"partitionKey":"{SECRET}""#)),
            "`partitionKey`",
        ),
        (with(r#","sameSite":"None""#), "must be `Secure`"),
    ] {
        check_refused(Format::StorageState, &cookie, reason);
    }
}

fn check_refused(format: Format, cookie: &str, reason: &str) {
    let text = format!(
        r#"{{"cookies":[{{"name":"ok","value":"v","domain":"a.test","path":"/"}},{cookie}]}}"#
    );
    let parsed = read(format, &text);
    assert_eq!(parsed.cookies.len(), 1, "{cookie}");
    let [(2, told)] = reasons(&parsed)[..] else {
        panic!("{cookie}: {parsed:?}");
    };
    assert!(told.contains(reason), "{cookie}: {told}");
    assert!(!format!("{parsed:?}").contains(SECRET), "{parsed:?}");
}

#[test]
fn cut_json_gives_nothing_and_says_where() {
    let text = "{\"cookies\":[\n {\"name\":\"sid\",\"value\":\"correct-horse\",\"domain\":\"a.test\",\"path\":\"/\"}]}";
    for format in [Format::Json, Format::StorageState] {
        for end in 1..text.len() {
            let error = parse(format, &text.as_bytes()[..end], NOW).unwrap_err();
            let ImportError::Json { what, line, column } = &error else {
                panic!("{end}: {error:?}");
            };
            assert_eq!(*what, "is cut off", "{end}");
            let before = &text[..end];
            assert_eq!(
                *line,
                before.lines().count().max(1) + usize::from(before.ends_with('\n'))
            );
            assert!(*column <= end);
            assert!(!error.to_string().contains("correct"), "{error}");
        }
        assert_eq!(read(format, text).cookies.len(), 1);
    }
}

#[test]
fn files_that_are_something_else_are_refused_whole() {
    for (text, expected) in [
        ("[1,]", "is not JSON at line 1, column 4"),
        ("[] []", "is not JSON at line 1, column 4"),
        ("", "is cut off"),
        ("{}", "no list of cookies"),
        ("7", "no list of cookies"),
        ("{\"cookies\":{}}", "no list of cookies"),
        ("{\"cookies\":[],\"cookies\":[]}", "no list of cookies"),
    ] {
        for format in [Format::Json, Format::StorageState] {
            let error = parse(format, text.as_bytes(), NOW).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(error.contains("nothing was imported"), "{error}");
        }
    }
    for text in ["<html>\n<body>\n", "a,b,c\n"] {
        let error = parse(Format::CookiesTxt, text.as_bytes(), NOW);
        assert_eq!(error, Err(ImportError::NotCookiesTxt), "{text}");
    }
    let huge = vec![b'\n'; MAX_BYTES + 1];
    assert_eq!(
        parse(Format::CookiesTxt, &huge, NOW),
        Err(ImportError::TooLarge)
    );
    let deep = "[".repeat(100_000);
    assert!(parse(Format::Json, deep.as_bytes(), NOW).is_err());
}

#[test]
fn of_equal_cookies_the_last_wins_and_the_others_are_reported() {
    let text = "a.test\tFALSE\t/\tFALSE\t0\tsid\tfirst-value\n\
                .A.TEST\tTRUE\t/\tFALSE\t0\tsid\tdomain-value\n\
                a.test\tFALSE\t/x\tFALSE\t0\tsid\tpath-value\n\
                A.test\tFALSE\t/\tFALSE\t0\tsid\tsecond-value\n\
                a.test\tFALSE\t/\tFALSE\t0\tsid\tlast-value\n";
    let parsed = read(Format::CookiesTxt, text);
    assert_eq!(
        values(&parsed),
        ["domain-value", "path-value", "last-value"]
    );
    let told = reasons(&parsed);
    assert_eq!(told.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 4]);
    assert!(told[0].1.contains("number 4"), "{told:?}");
    assert!(told[1].1.contains("number 5"), "{told:?}");
}

#[test]
fn formats_are_detected() {
    for (text, expected) in [
        ("# Netscape HTTP Cookie File\n", Some(Format::CookiesTxt)),
        (
            "# by hand\n\n#HttpOnly_a.test\tFALSE\t/\tFALSE\t0\tsid\tv\n",
            Some(Format::CookiesTxt),
        ),
        (
            "a.test\tFALSE\t/\tFALSE\t0\tsid\tv\n",
            Some(Format::CookiesTxt),
        ),
        (
            "{\"cookies\":[],\"origins\":[]}",
            Some(Format::StorageState),
        ),
        (
            "[{\"name\":\"a\",\"value\":\"b\",\"domain\":\"c\",\"path\":\"/\",\"expires\":-1}]",
            Some(Format::StorageState),
        ),
        ("{\"cookies\":[]}", Some(Format::Json)),
        ("\u{feff} [", Some(Format::Json)),
        ("", None),
        ("<html>", None),
        ("# only a comment\n", None),
        ("\0\u{1}", None),
    ] {
        assert_eq!(Format::detect(text.as_bytes()), expected, "{text}");
    }
    for format in [Format::CookiesTxt, Format::StorageState, Format::Json] {
        assert_eq!(format.to_string().parse(), Ok(format));
        let json = serde_json::to_string(&format).unwrap();
        assert_eq!(json, format!("\"{format}\""));
    }
    assert!("har".parse::<Format>().is_err());
}

/// Pieces that are nearly right, so that chance gets past the first check.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "a.test", ".example.com", "co.uk", "TRUE", "FALSE", "/", "/x", "0", "1800000000",
            "sid", "__Host-a", "\t", "\n", "\r\n", "#HttpOnly_", "#", "{", "}", "[", "]", ",",
            ":", "\"", "\"cookies\":", "\"name\":\"sid\"", "\"domain\":\"a.test\"",
            "\"path\":\"/\"", "\"expires\":-1", "\"sameSite\":\"Lax\"", "null", "true",
        ]).prop_map(str::to_owned),
        1 => ".{0,6}",
    ]
}

const CANARY: &str = "canary-value-7f3a";

proptest! {
    #[test]
    fn no_input_panics(pieces in prop::collection::vec(piece(), 0..40)) {
        let text = pieces.concat();
        let detected = Format::detect(text.as_bytes());
        for format in [Format::CookiesTxt, Format::StorageState, Format::Json] {
            let _ = (detected, parse(format, text.as_bytes(), NOW));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        for format in [Format::CookiesTxt, Format::StorageState, Format::Json] {
            let _ = (Format::detect(&bytes), parse(format, &bytes, NOW));
        }
    }

    #[test]
    fn a_value_is_never_shown(
        fields in prop::collection::vec(piece(), 6),
        more in prop::collection::vec((
            prop::sample::select(vec!["secure", "expires", "sameSite", "path", "x", CANARY]),
            prop::sample::select(vec!["true", "\"/\"", "7", "\"canary-value-7f3a\"", "{}", "["]),
        ), 0..4),
        junk in piece(),
    ) {
        let [domain, subdomains, path, secure, expires, name] = &fields[..] else { unreachable!() };
        let line = format!("{domain}\t{subdomains}\t{path}\t{secure}\t{expires}\t{name}\t{CANARY}{junk}\n");
        // The value is the whole of the last field: pieces may break the line.
        let whole = !fields.concat().contains(['\n', '\r', '\t']) && !junk.contains(['\n', '\r', '\t']);
        let more: Vec<String> = more.iter().map(|(key, value)| format!(",\"{key}\":{value}")).collect();
        let more = more.concat();
        let object = format!("[{{\"name\":\"sid\",\"domain\":\"a.test\",\"value\":\"{CANARY}\"{more}}}]");
        for (format, text) in [
            (Format::CookiesTxt, &line), (Format::Json, &object), (Format::StorageState, &object),
        ] {
            if format == Format::CookiesTxt && !whole {
                continue;
            }
            let shown = match parse(format, text.as_bytes(), NOW) {
                Ok(parsed) => format!("{parsed:?}{}", serde_json::to_string(&parsed.refused).unwrap()),
                Err(error) => format!("{error} {error:?}"),
            };
            prop_assert!(!shown.contains(CANARY), "{}", shown);
        }
    }

    #[test]
    fn own_json_round_trips_whatever_is_valid(
        name in "[a-z]{1,8}", value in "[!#-:<-~]{0,20}", host_only in any::<bool>(),
        path in "/[a-z/]{0,8}", secure in any::<bool>(), http_only in any::<bool>(),
        same_site in prop::sample::select(vec![
            None, Some(SameSite::Strict), Some(SameSite::Lax), Some(SameSite::None),
        ]),
        partitioned in prop::option::of(any::<bool>()),
        expires in prop::option::of(1_764_000_001_i64..4_000_000_000),
    ) {
        let wanted = CookieAttributes {
            name, path, host_only, secure, http_only, same_site,
            domain: "app.example.com".into(),
            partition_key: partitioned.map(|has_cross_site_ancestor| PartitionKey {
                top_level_site: "https://top.test".into(), has_cross_site_ancestor,
            }),
            expires: expires.map(|at| Timestamp(at * 1_000_000)),
        };
        let mut json = serde_json::to_value(&wanted).unwrap();
        json["value"] = value.clone().into();
        let parsed = read(Format::Json, &serde_json::to_string(&[json]).unwrap());
        if let Ok(wanted) = wanted.validated(&value) {
            prop_assert_eq!(&parsed.cookies[0].attributes, &wanted);
            prop_assert_eq!(parsed.cookies[0].value.expose(), value);
        } else {
            prop_assert_eq!((parsed.cookies.len(), parsed.refused.len()), (0, 1));
        }
    }
}

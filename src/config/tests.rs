//! Precedence, and that each bad value is refused with where it stands.

use super::*;

const EXAMPLE: &str = include_str!("../../hallpass.example.toml");

fn load(file: &str, environment: &[(&str, &str)], flags: Flags) -> Result<Config, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hallpass.toml");
    std::fs::write(&path, file).unwrap();
    let flags = Flags {
        config: Some(path),
        data_dir: flags.data_dir.or_else(|| Some("/data".into())),
        ..flags
    };
    let environment = environment
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    Config::load(&flags, environment).map_err(|error| error.to_string())
}

#[test]
fn the_example_is_the_default() {
    let config = load(EXAMPLE, &[], Flags::default()).unwrap();
    assert_eq!(config, Config::in_dir("/data".into()));
}

#[test]
fn the_example_shows_every_key_and_all_it_shows_is_allowed() {
    let mut section = String::new();
    let mut shown = Vec::new();
    let mut all = String::new();
    for line in EXAMPLE.lines() {
        let bare = line.strip_prefix("# ").unwrap_or(line);
        if let Some(name) = bare.strip_prefix("[[").and_then(|l| l.strip_suffix("]]")) {
            section = format!("{name}.");
        } else if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = format!("{name}.");
        } else if let Some((key, _)) = bare.split_once(" = ")
            && !key.contains(' ')
        {
            shown.push(format!("{section}{key}"));
        } else {
            continue;
        }
        all.push_str(bare);
        all.push('\n');
    }
    for variable in VARIABLES {
        let key = variable.key;
        let found = shown.iter().any(|shown| shown.starts_with(key));
        assert!(found, "`{key}` is not in the example");
        let name = format!("HALLPASS_{}", key.replace('.', "_").to_uppercase());
        assert_eq!(variable.name, name);
    }
    // A list of tables has no variable.
    for key in shown.iter().filter(|key| !key.starts_with("policy.sites.")) {
        let known = VARIABLES.iter().any(|v| key.starts_with(v.key));
        assert!(known, "`{key}`");
    }
    let config = load(&all, &[], Flags::default()).unwrap();
    assert_eq!(config.cell.uids, Some((61000, 61999)));
    assert_eq!(config.egress.hosts["app.internal.example.com"].len(), 1);
}

#[test]
fn flags_come_before_environment_before_file_before_default() {
    let file = "listen = \"127.0.0.1:1\"\n[window]\ndefault = \"1m\"\n";
    let environment = [
        ("HALLPASS_LISTEN", "127.0.0.1:2"),
        ("HALLPASS_DATA_DIR", "/other"),
    ];
    let flags = Flags {
        listen: Some("127.0.0.1:3".parse().unwrap()),
        ..Flags::default()
    };
    let port =
        |file, environment: &[_], flags| load(file, environment, flags).unwrap().listen.port();
    assert_eq!(port("", &[], Flags::default()), 7411);
    assert_eq!(port(file, &[], Flags::default()), 1);
    assert_eq!(port(file, &environment, Flags::default()), 2);
    assert_eq!(port(file, &environment, flags), 3);
    let config = load(file, &environment, Flags::default()).unwrap();
    assert_eq!(config.window.default, Span::seconds(60));
    assert_eq!(config.data_dir, Path::new("/data"));
    assert_eq!(config.vault.key_file, Path::new("/data/keys/vault.key"));
}

#[test]
fn every_variable_sets_its_key() {
    for (name, good, bad) in [
        ("HALLPASS_LISTEN", "[::1]:80", "localhost"),
        ("HALLPASS_DATA_DIR", "/d", "d"),
        ("HALLPASS_PUBLIC_URL", "https://h.test", "https://h.test/x"),
        (
            "HALLPASS_ALLOWED_ORIGINS",
            "https://a.test, http://b.test:81",
            "null",
        ),
        ("HALLPASS_BROWSER_PATH", "/b", "b"),
        ("HALLPASS_BROWSER_KIND", "headless-shell", "firefox"),
        ("HALLPASS_CELL_ISOLATION", "shared", "none"),
        ("HALLPASS_CELL_SHARE", "64", "65"),
        ("HALLPASS_CELL_WARM", "0", "65"),
        (
            "HALLPASS_CELL_REQUIRE",
            "landlock,seccomp,user,sandbox",
            "luck",
        ),
        ("HALLPASS_CELL_UID_FIRST", "", "5"),
        ("HALLPASS_CELL_UID_LAST", "", "-1"),
        ("HALLPASS_SESSION_GRACE", "0s", "60"),
        ("HALLPASS_SESSION_MAX", "1", "0"),
        ("HALLPASS_WINDOW_CAP", "7d", "8d"),
        ("HALLPASS_WINDOW_DEFAULT", "1s", "0s"),
        (
            "HALLPASS_EGRESS_HOSTS",
            "a.test=10.0.0.1+::1,b.test=127.0.0.1",
            "a.test",
        ),
        ("HALLPASS_VAULT_KEY_FILE", "/k", "k"),
        ("HALLPASS_TRACE_SEGMENT_BYTES", "4096", "1k"),
    ] {
        let default = load("", &[], Flags::default()).unwrap();
        let refused = load("", &[(name, bad)], Flags::default()).unwrap_err();
        let key = VARIABLES.iter().find(|v| v.name == name).unwrap().key;
        assert!(refused.contains(key), "{refused}");
        if !good.is_empty() && name != "HALLPASS_CELL_WARM" {
            load("", &[(name, good)], Flags::default()).unwrap();
        }
        if name == "HALLPASS_CELL_WARM" {
            assert_ne!(
                load("", &[(name, good)], Flags::default()).unwrap(),
                default
            );
        }
    }
    let config = load(
        "",
        &[
            ("HALLPASS_CELL_UID_FIRST", "2000"),
            ("HALLPASS_CELL_UID_LAST", "2999"),
        ],
        Flags::default(),
    )
    .unwrap();
    assert_eq!(config.cell.uids, Some((2000, 2999)));
}

#[test]
fn a_bad_file_is_refused_with_line_column_key_and_what_is_allowed() {
    for (file, parts) in [
        ("listen = 7411\n", vec!["line 1", "column 10", "`listen`"]),
        (
            "\n[window]\ncap = \"8 hours\"\n",
            vec!["line 3", "column 7", "`window.cap`", "15m"],
        ),
        (
            "[window]\nmax = \"1h\"\n",
            vec!["line 2", "`window.max`", "`cap`", "`default`"],
        ),
        ("ports = 1\n", vec!["line 1", "`ports`", "`listen`"]),
        (
            "[cell]\nrequire = [\"luck\"]\n",
            vec!["`cell.require`", "`landlock`"],
        ),
        ("[cell]\nwarm = -1\n", vec!["`cell.warm`", "0 to 64"]),
        ("[session]\nmax = 0\n", vec!["`session.max`", "1 to 10000"]),
        (
            "[browser]\nkind = \"firefox\"\n",
            vec!["`browser.kind`", "`headless-shell`"],
        ),
        ("[egress.hosts]\n\"a.test\" = []\n", vec!["at least one"]),
        ("[egress.hosts]\n\"a.test\" = [\"x\"]\n", vec!["line 2"]),
        ("data_dir = \"here\"\n", vec!["`data_dir`", "absolute"]),
        (
            "allowed_origins = [\"*\"]\n",
            vec!["`allowed_origins`", "not an origin"],
        ),
        (
            "listen = \"127.0.0.1:1\"\nlisten = \"127.0.0.1:2\"\n",
            vec!["line 2"],
        ),
        ("[window", vec!["line 1"]),
        ("[cell]\nshare = 0\n", vec!["`cell.share`", "1 to 64"]),
        (
            "[window]\ncap = \"1m\"\n",
            vec!["`window.default`", "`window.cap`"],
        ),
        (
            "[cell]\nuid_first = 2000\n",
            vec!["`cell.uid_first`", "`cell.uid_last`"],
        ),
        ("[cell]\nuid_first = 2000\nuid_last = 1999\n", vec!["below"]),
        (
            "[cell]\nuid_first = 2000\nuid_last = 2003\n",
            vec!["4 user ids", "16"],
        ),
    ] {
        let refused = load(file, &[], Flags::default()).unwrap_err();
        for part in parts {
            assert!(refused.contains(part), "{file}: {refused} lacks {part}");
        }
    }
}

#[test]
fn unknown_variables_are_refused_and_others_are_none_of_ours() {
    let refused = load("", &[("HALLPASS_LISTNE", "x")], Flags::default()).unwrap_err();
    assert!(refused.contains("HALLPASS_LISTNE") && refused.contains("HALLPASS_LISTEN,"));
    load(
        "",
        &[("HALLPASS_LOG", "debug"), ("PATH", "/bin")],
        Flags::default(),
    )
    .unwrap();
}

#[test]
fn a_named_file_that_is_not_there_is_refused() {
    let flags = Flags {
        config: Some("/nowhere/hallpass.toml".into()),
        ..Flags::default()
    };
    let refused = Config::load(&flags, []).unwrap_err();
    assert!(refused.to_string().contains("/nowhere/hallpass.toml"));
}

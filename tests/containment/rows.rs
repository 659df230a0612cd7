//! The ways out, as data: name, family, who tries it and how. `{url}`, `{host}`,
//! `{port}`, `{site}` and `{target}` are filled in for each run.

use std::sync::LazyLock;

use super::Who;

pub type Row = (&'static str, &'static str, Who, &'static str);

pub static ROWS: LazyLock<Vec<Row>> = LazyLock::new(|| {
    let lines = include_str!("rows.tsv").lines().skip(1);
    lines.map(row).collect()
});

fn row(line: &'static str) -> Row {
    let fields: Vec<&str> = line.splitn(4, '\t').collect();
    let [name, family, who, how] = fields[..] else {
        panic!("not four fields: {line}");
    };
    let who = match who {
        "shared" => Who::Shared,
        "own" => Who::Own,
        "agent" => Who::Agent,
        other => panic!("`{other}` tries nothing: {line}"),
    };
    (name, family, who, how)
}

//! What arrived through which rings, as it is kept beside the rows and told in the
//! README.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::PathBuf,
};

use super::{rings::Rings, rows::ROWS};

const BEGIN: &str =
    "<!-- what each ring holds back: written by `cargo test --test containment` -->\n";
const END: &str = "<!-- end -->\n";

/// Names of the rows that arrived, by rings.
#[derive(Debug)]
pub struct Table(BTreeMap<&'static str, BTreeSet<String>>);

fn kept() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/containment/rings.tsv")
}

fn readme() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("README.md")
}

impl Table {
    pub fn empty() -> Self {
        Self(
            Rings::ALL
                .map(|rings| (rings.name(), BTreeSet::new()))
                .into(),
        )
    }

    /// As it is kept.
    pub fn read() -> Self {
        let mut table = Self::empty();
        let text = fs::read_to_string(kept()).unwrap_or_default();
        let mut lines = text.lines();
        let header: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
        for line in lines {
            let fields: Vec<&str> = line.split('\t').collect();
            for rings in Rings::ALL {
                let column = header.iter().position(|name| *name == rings.name());
                if column.is_some_and(|column| fields[column] == "arrives") {
                    let rows = table.0.get_mut(rings.name()).unwrap();
                    rows.insert(fields[0].to_owned());
                }
            }
        }
        table
    }

    pub fn add(&mut self, rings: Rings, came: &BTreeSet<usize>) {
        let names = came.iter().map(|row| ROWS[*row].0.to_owned());
        self.0.get_mut(rings.name()).unwrap().extend(names);
    }

    pub fn count(&self, rings: Rings) -> usize {
        self.0[rings.name()].len()
    }

    /// Rows that arrived now and do not by the table.
    pub fn newly_arrived(&self, now: &Self) -> Vec<String> {
        let mut new = Vec::new();
        let held_for_sure = |rings: &str| rings != Rings::Interceptor.name();
        for (rings, rows) in now.0.iter().filter(|(rings, _)| held_for_sure(rings)) {
            let more = rows.difference(&self.0[rings]);
            new.extend(more.map(|row| format!("{row} through {rings}")));
        }
        new
    }

    /// Keeps it, and has the README tell it.
    pub fn write(&self) {
        let mut text = "name\tfamily".to_owned();
        for rings in Rings::ALL {
            write!(text, "\t{}", rings.name()).unwrap();
        }
        text.push('\n');
        for (name, family, ..) in ROWS.iter() {
            write!(text, "{name}\t{family}").unwrap();
            for rings in Rings::ALL {
                let arrives = self.0[rings.name()].contains(*name);
                text += if arrives { "\tarrives" } else { "\theld" };
            }
            text.push('\n');
        }
        fs::write(kept(), text).unwrap();
        let told = fs::read_to_string(readme()).unwrap();
        let (before, rest) = told.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        let new = format!("{before}{BEGIN}{}{END}{after}", self.summary());
        fs::write(readme(), new).unwrap();
    }

    /// How many of each family arrive through which rings.
    pub fn summary(&self) -> String {
        let mut text = "| ways out | tried |".to_owned();
        for rings in Rings::ALL {
            write!(text, " {} |", rings.name()).unwrap();
        }
        text += "\n|---|---:|";
        text += &"---:|".repeat(Rings::ALL.len());
        text.push('\n');
        let families: BTreeSet<&str> = ROWS.iter().map(|row| row.1).collect();
        let line = |family: Option<&str>| {
            let rows = ROWS
                .iter()
                .filter(|row| family.is_none_or(|name| row.1 == name));
            let names: BTreeSet<&str> = rows.map(|row| row.0).collect();
            let mut line = format!("| {} | {} |", family.unwrap_or("**all**"), names.len());
            for rings in Rings::ALL {
                let came = self.0[rings.name()].iter();
                let count = came.filter(|row| names.contains(row.as_str())).count();
                write!(line, " {count} |").unwrap();
            }
            line.push('\n');
            line
        };
        for family in families {
            text += &line(Some(family));
        }
        text += &line(None);
        text
    }

    /// What the README tells.
    pub fn shown() -> String {
        let told = fs::read_to_string(readme()).unwrap();
        let shown = told
            .split_once(BEGIN)
            .and_then(|(_, rest)| rest.split_once(END));
        shown.map(|(table, _)| table.to_owned()).unwrap_or_default()
    }
}

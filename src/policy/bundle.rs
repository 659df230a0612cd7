//! Policies as code: a bundle of Cedar policies, validated strictly when it is
//! read, sliced per agent and act, and asked on every act that a scope covers.
//!
//! Cedar leaves out a policy that fails when it is asked, also one that forbids;
//! here any failure refuses. A `forbid` that is marked `@hold` does not refuse:
//! it makes the act wait for a person, where everything else permits it.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    str::FromStr,
    sync::{Arc, PoisonError, RwLock},
};

use cedar_policy::{
    ActionConstraint, Authorizer, Effect, Policy, PolicyId, PolicySet, PrincipalConstraint,
    ValidationMode, Validator,
};
use data_encoding::HEXLOWER;
use miette::Diagnostic;
use sha2::{Digest, Sha256};

use super::{
    classify::Classes,
    guard::{Guard, Known},
    question::{self, Act, Question},
};
use crate::model::id::AgentId;

/// The policies of a broker that is given no others.
pub const DEFAULT: &str = include_str!("default.cedar");

/// Why an act that no policy permits is refused.
pub const UNPERMITTED: &str = "no policy permits it";

/// Agents whose slices are kept; more are sliced anew each time.
const MOST_SLICED: usize = 10_000;

/// Policies that decide together.
pub struct Bundle {
    policies: Vec<Policy>,
    marks: Marks,
    classes: Classes,
    revision: Arc<str>,
    sliced: RwLock<HashMap<AgentId, Arc<Sliced>>>,
}

/// What the policies say to one act.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ruling {
    /// These permit it.
    Permit(Vec<String>),
    /// It waits for a person: these want that.
    Hold {
        /// Ids of policies.
        policies: Vec<String>,
        /// One sentence.
        says: String,
    },
    /// These forbid it; none where none permits it or one failed.
    Forbid {
        /// Ids of policies.
        policies: Vec<String>,
        /// One sentence.
        says: String,
    },
}

/// A bundle that cannot be used: one thing that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct BundleError {
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// What is noted beside policies, by their ids.
#[derive(Debug, Default)]
struct Marks {
    says: BTreeMap<String, String>,
    holds: BTreeMap<String, String>,
}

/// The policies that one agent's acts can meet, by act.
struct Sliced(HashMap<Act, Slice>);

struct Slice {
    met: Vec<Met>,
    /// The ruling, where no policy looks at more than the act.
    constant: Option<Ruling>,
}

/// A policy that an act can meet.
struct Met {
    id: String,
    effect: Effect,
    guard: Guard,
    /// It alone, to be asked where the guard does not know; without it, any
    /// question that comes so far is refused.
    alone: Option<PolicySet>,
}

impl Bundle {
    /// Reads and validates a bundle.
    ///
    /// # Errors
    /// Where and what is wrong, everything that is.
    pub fn read(text: &str, classes: Classes) -> Result<Self, Vec<BundleError>> {
        let schema = question::schema().map_err(|error| vec![at_start(error)])?;
        let read = PolicySet::from_str(text)
            .map_err(|errors| located_all(errors.iter().map(|e| e as &dyn Diagnostic), text))?;
        if read.templates().next().is_some() {
            return Err(vec![at_start(
                "a template (`?principal`, `?resource`) stands for no policy; name who or what is meant",
            )]);
        }
        let valid = Validator::new(schema.clone()).validate(&read, ValidationMode::Strict);
        let errors = located_all(
            valid.validation_errors().map(|e| e as &dyn Diagnostic),
            text,
        );
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut marks = Marks::default();
        let mut policies: BTreeMap<String, Policy> = BTreeMap::new();
        for policy in read.policies() {
            let id = marks.take(policy, &policies).map_err(|what| {
                vec![BundleError {
                    message: what,
                    ..place(text, offset(policy, text))
                }]
            })?;
            policies.insert(id.clone(), policy.new_id(PolicyId::new(id)));
        }
        let mut hash = Sha256::new();
        hash.update(text.as_bytes());
        hash.update([0]);
        hash.update(classes.fingerprint());
        Ok(Self {
            policies: policies.into_values().collect(),
            marks,
            classes,
            revision: format!("sha256:{}", HEXLOWER.encode(&hash.finalize())).into(),
            sliced: RwLock::default(),
        })
    }

    /// Ids of its policies, sorted.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.policies.iter().map(|policy| {
            let id: &str = policy.id().as_ref();
            id
        })
    }

    /// Hash of its text and of the classes, by which records name it.
    #[must_use]
    pub const fn revision(&self) -> &Arc<str> {
        &self.revision
    }

    /// How requests are classified for it.
    #[must_use]
    pub const fn classes(&self) -> &Classes {
        &self.classes
    }

    /// Whether every act of that kind is permitted to the agent, wherever it is.
    #[must_use]
    pub fn always_permits(&self, agent: AgentId, act: Act) -> bool {
        let sliced = self.slices(agent);
        let constant = sliced.0.get(&act).and_then(|slice| slice.constant.as_ref());
        matches!(constant, Some(Ruling::Permit(_)))
    }

    /// Asks about an act that a lease's scope covers.
    #[must_use]
    pub fn ask(&self, question: &Question<'_>) -> Ruling {
        let sliced = self.slices(question.agent);
        let Some(slice) = sliced.0.get(&question.act) else {
            return Ruling::failed("no policies were prepared for it");
        };
        if let Some(constant) = &slice.constant {
            return constant.clone();
        }
        self.rule(slice, question)
    }

    /// What all of them say together: any failure refuses, then any that forbids,
    /// then any that holds; and at least one must permit.
    fn rule(&self, slice: &Slice, question: &Question<'_>) -> Ruling {
        let mut put = None;
        let authorizer = Authorizer::new();
        let (mut permits, mut holds, mut forbids) = (Vec::new(), Vec::new(), Vec::new());
        for met in &slice.met {
            let holds_true = match met.guard.known(question) {
                Known::Fails => false,
                Known::Holds => true,
                Known::Unknown => {
                    let put = match put.get_or_insert_with(|| question.put()) {
                        Ok(put) => put,
                        Err(error) => return Ruling::failed(error),
                    };
                    let Some(alone) = &met.alone else {
                        return Ruling::failed(&format!("`{}` was not prepared", met.id));
                    };
                    let answer = authorizer.is_authorized(&put.0, alone, &put.1);
                    if let Some(error) = answer.diagnostics().errors().next() {
                        return Ruling::failed(&error.to_string());
                    }
                    answer.diagnostics().reason().next().is_some()
                }
            };
            if !holds_true {
                continue;
            }
            match met.effect {
                Effect::Permit => permits.push(met.id.clone()),
                Effect::Forbid if self.marks.holds.contains_key(&met.id) => {
                    holds.push(met.id.clone());
                }
                Effect::Forbid => forbids.push(met.id.clone()),
            }
        }
        if !forbids.is_empty() || permits.is_empty() {
            let says = forbids.iter().find_map(|id| self.marks.says.get(id));
            let plain = if forbids.is_empty() {
                UNPERMITTED
            } else {
                "a policy of this broker forbids it"
            };
            return Ruling::Forbid {
                says: says.cloned().unwrap_or_else(|| plain.to_owned()),
                policies: forbids,
            };
        }
        match holds.first().and_then(|id| self.marks.holds.get(id)) {
            Some(says) => Ruling::Hold {
                says: says.clone(),
                policies: holds,
            },
            None => Ruling::Permit(permits),
        }
    }

    fn slices(&self, agent: AgentId) -> Arc<Sliced> {
        let known = self.sliced.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(sliced) = known.get(&agent) {
            return sliced.clone();
        }
        drop(known);
        let sliced = Arc::new(self.slice(agent));
        let mut known = self.sliced.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < MOST_SLICED {
            known.insert(agent, sliced.clone());
        }
        sliced
    }

    fn slice(&self, agent: AgentId) -> Sliced {
        let of_agent: Vec<&Policy> = self
            .policies
            .iter()
            .filter(|policy| match policy.principal_constraint() {
                // Of another kind, it is left to Cedar.
                PrincipalConstraint::Eq(uid) => {
                    uid.type_name().to_string() != question::AGENT
                        || uid.id().unescaped() == agent.to_string()
                }
                _ => true,
            })
            .collect();
        let slice = |act: Act| {
            let met: Vec<Met> = of_agent
                .iter()
                .filter(|policy| act.is_met_by(policy))
                .map(|&policy| Met {
                    id: policy.id().to_string(),
                    effect: policy.effect(),
                    guard: Guard::of(policy),
                    alone: PolicySet::from_policies([policy.clone()]).ok(),
                })
                .collect();
            let constant = met.iter().all(|met| met.guard.is_constant());
            let mut slice = Slice {
                met,
                constant: None,
            };
            if constant {
                slice.constant = Some(self.rule(&slice, &Question::any(agent, act)));
            }
            slice
        };
        Sliced(Act::ALL.into_iter().map(|act| (act, slice(act))).collect())
    }
}

impl Marks {
    /// Reads a policy's annotations; answers its id.
    fn take(
        &mut self,
        policy: &Policy,
        known: &BTreeMap<String, Policy>,
    ) -> Result<String, String> {
        let id = policy.annotation("id").unwrap_or_default().to_owned();
        if id.is_empty() || id.len() > 64 || !id.bytes().all(|b| b.is_ascii_graphic() && b != b'`')
        {
            return Err("`@id(\"…\")` is missing, or no name of 1 to 64 printable characters: records and refusals name a policy by it".to_owned());
        }
        if known.contains_key(&id) {
            return Err(format!(
                "`@id(\"{id}\")` stands twice; each policy needs one of its own"
            ));
        }
        for (name, text) in policy.annotations() {
            match name {
                "id" => {}
                "says" if policy.effect() == Effect::Forbid => {
                    self.says.insert(id.clone(), text.to_owned());
                }
                "hold" if policy.effect() == Effect::Forbid => {
                    self.holds.insert(id.clone(), text.to_owned());
                }
                "says" | "hold" => {
                    return Err(format!(
                        "`@{name}` is for policies that forbid; `{id}` permits"
                    ));
                }
                _ => {
                    return Err(format!(
                        "`@{name}` of `{id}` means nothing here; known are `@id`, `@says` and `@hold`"
                    ));
                }
            }
        }
        Ok(id)
    }
}

fn at_start(message: impl Into<String>) -> BundleError {
    BundleError {
        line: 1,
        column: 1,
        message: message.into(),
    }
}

fn located_all<'a>(
    errors: impl Iterator<Item = &'a dyn Diagnostic>,
    text: &str,
) -> Vec<BundleError> {
    let mut located: Vec<BundleError> = errors.map(|error| located(error, text)).collect();
    located.sort_by_key(|error| (error.line, error.column));
    // Cedar tells each for every act that the policy is for.
    located.dedup_by_key(|error| (error.line, error.column));
    located
}

/// An error of Cedar's with its place in the text.
fn located(error: &dyn Diagnostic, text: &str) -> BundleError {
    let offset = error
        .labels()
        .and_then(|mut labels| labels.next())
        .map_or(0, |label| label.offset());
    let help = error.help().map(|help| format!(" ({help})"));
    BundleError {
        message: format!("{error}{}", help.unwrap_or_default()),
        ..place(text, offset)
    }
}

fn place(text: &str, offset: usize) -> BundleError {
    let before = text.get(..offset).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    BundleError {
        line: before.matches('\n').count() + 1,
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        message: String::new(),
    }
}

/// Where a policy stands in the text it was read from.
fn offset(policy: &Policy, text: &str) -> usize {
    text.find(policy.to_string().trim()).unwrap_or_default()
}

// === impl Act ===

impl Act {
    fn is_met_by(self, policy: &Policy) -> bool {
        let names = |uid: &cedar_policy::EntityUid| {
            let name = uid.id().unescaped();
            name == self.as_str() || self.group() == Some(name)
        };
        match policy.action_constraint() {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(uid) => uid.id().unescaped() == self.as_str(),
            ActionConstraint::In(uids) => uids.iter().any(names),
        }
    }
}

impl Ruling {
    fn failed(error: &str) -> Self {
        Self::Forbid {
            policies: Vec::new(),
            says: format!("a policy could not be asked: {error}"),
        }
    }
}

impl fmt::Debug for Bundle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bundle")
            .field("revision", &self.revision)
            .field("policies", &self.ids().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

//! Holds: requests that wait for a person, and what the person says.

use serde::{Deserialize, Serialize};

use super::{Answer, CallError, Caller, Service, may_see, person};
use crate::{
    model::{
        hold::{Hold, HoldAnswer, HoldEnd, LONGEST_WORDS},
        id::{HoldId, SessionId},
    },
    session::AnswerError,
    trace::record::{Actor, Event},
};

/// Holds that an answer was given to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answered {
    /// As they were shown.
    pub holds: Vec<Hold>,
}

impl Service {
    /// What waits for a person now, the oldest first; an agent sees its own.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn hold_list(&self, caller: Caller) -> Answer<Vec<Hold>> {
        self.noted(caller, "hold list", async {
            let mut holds = self.sessions.holds().all();
            holds.retain(|hold| may_see(caller, hold.agent));
            Ok(holds)
        })
        .await
    }

    /// One hold that waits now; an agent sees its own.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn hold_show(&self, caller: Caller, id: HoldId) -> Answer<Hold> {
        self.noted(caller, "hold show", async {
            self.hold_of(caller, id).await
        })
        .await
    }

    /// Answers a hold, and with `same_shape` all others of its session that are
    /// like it (as its rule says). The lender only. What was let go is on its way
    /// when this answers.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn hold_answer(
        &self,
        caller: Caller,
        id: HoldId,
        answer: HoldAnswer,
        same_shape: bool,
    ) -> Answer<Answered> {
        self.noted(caller, "hold answer", async {
            let who = person(caller)?;
            let hold = self.hold_of(caller, id).await?;
            if hold.lender != who {
                return Err(CallError::Forbidden(
                    "only the lender, whose session it is, may answer",
                ));
            }
            if let HoldAnswer::Deny { words: Some(words) } = &answer {
                if words.chars().count() > LONGEST_WORDS {
                    return Err(CallError::invalid(
                        "words",
                        format!("at most {LONGEST_WORDS} characters are passed on"),
                    ));
                }
            }
            let mut holds = vec![hold];
            if same_shape {
                let all = self.sessions.holds().all();
                let first = holds.first().cloned();
                holds.extend(all.into_iter().filter(|other| {
                    first.as_ref().is_some_and(|first| {
                        other.id != first.id
                            && other.session == first.session
                            && other.delegation == first.delegation
                            && first.rule.is_some()
                            && other.rule == first.rule
                    })
                }));
            }
            let mut answered = Vec::with_capacity(holds.len());
            for hold in holds {
                let told = self
                    .sessions
                    .answer_hold(hold.session, hold.id, answer.clone(), who)
                    .await;
                match told {
                    Ok(()) => answered.push(hold),
                    // Others of the shape may have ended meanwhile.
                    Err(AnswerError::Over) if hold.id != id => {}
                    Err(error) => return Err(refused(hold.id, error)),
                }
            }
            Ok(Answered { holds: answered })
        })
        .await
    }

    /// Passes on what an agent says that it is about to do: shown with the next
    /// request that is held, as its own words.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn session_explain(
        &self,
        caller: Caller,
        session: SessionId,
        words: &str,
    ) -> Answer<()> {
        self.noted(caller, "session explain", async {
            self.session_of(caller, session).await?;
            if words.trim().is_empty() || words.chars().count() > LONGEST_WORDS {
                return Err(CallError::invalid(
                    "words",
                    format!("1 to {LONGEST_WORDS} characters are passed on"),
                ));
            }
            if self.sessions.explain(session, words.to_owned()) {
                Ok(())
            } else {
                Err(CallError::Conflict(format!("{session} does not run")))
            }
        })
        .await
    }

    async fn hold_of(&self, caller: Caller, id: HoldId) -> Answer<Hold> {
        if let Some(hold) = self.sessions.holds().get(id) {
            if may_see(caller, hold.agent) {
                return Ok(hold);
            }
        } else if let Some((agent, how)) = self.store.hold_get(id).await? {
            if may_see(caller, agent) {
                let how = how.unwrap_or_else(|| "just now".to_owned());
                return Err(CallError::Conflict(format!(
                    "{id} does not wait any more: it ended ({how}); its session's trace says more"
                )));
            }
        }
        Err(CallError::not_found("hold", &id))
    }

    /// A hold began to wait.
    pub(super) async fn hold_began(&self, hold: &Hold) -> Answer<()> {
        Ok(self.store.hold_insert(hold).await?)
    }

    /// A hold ended.
    pub(super) async fn hold_ended(&self, id: HoldId, how: HoldEnd) -> Answer<()> {
        Ok(self.store.hold_end(id, how, self.now().wall).await?)
    }

    /// Denies, on record, what waited when an earlier broker ended without a word.
    pub(super) async fn deny_left_holds(&self) -> Answer<()> {
        for id in self.store.hold_unended().await? {
            let event = Event::HoldEnded {
                hold: id,
                how: HoldEnd::BrokerStopped,
                rule: None,
                words: None,
            };
            self.ledger
                .record(self.now().wall, Actor::Broker, event)
                .await?;
            self.hold_ended(id, HoldEnd::BrokerStopped).await?;
        }
        Ok(())
    }
}

fn refused(id: HoldId, error: AnswerError) -> CallError {
    match error {
        AnswerError::Over => CallError::Conflict(format!("{id} does not wait any more")),
        AnswerError::OtherRule => CallError::Conflict(format!("{id}: {error}")),
        AnswerError::Unrecorded => CallError::Unavailable(error.to_string()),
    }
}

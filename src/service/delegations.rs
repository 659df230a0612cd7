//! Delegations: asking, listing, showing.

use super::{
    Agent, AgentRef, Answer, CallError, Caller, CookieRef, DelegationFilter, DelegationInfo,
    NewDelegation, Service, ask, may_see,
};
use crate::{
    model::{
        delegation::{Delegation, LentCredential, State, Terms},
        id::{AgentId, DelegationId, PersonId},
        time::Now,
    },
    random::random_uuid_v7,
    store::{NamedCookie, StoredDelegation},
    trace::record::Event,
};

/// Requests of one agent that may wait for a person at once.
const WAITING: u64 = 32;

impl Service {
    /// Asks for a delegation. An agent asks for itself and names cookies by
    /// name and origin; whether the lender has them shows at approval only. A
    /// person asks for any agent.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegation_request(
        &self,
        caller: Caller,
        new: NewDelegation,
    ) -> Answer<DelegationInfo> {
        self.noted(caller, "delegation request", async {
            let agent = self.acting_for(caller, new.agent.as_ref()).await?;
            let now = self.now();
            ask::check_purpose(&new.purpose)?;
            ask::check_scope(&new.scope)?;
            let whose = new.lender.unwrap_or(self.operator);
            self.check_unlocked(agent.id, Some((whose, &new.scope)))?;
            ask::check_count("cookies", new.cookies.len())?;
            let window = ask::window(new.window, self.config.window, now.wall)?;
            let lender = new.lender.unwrap_or(self.operator);
            if !self.store.person_exists(lender).await? {
                return Err(CallError::invalid(
                    "lender",
                    format!("there is no person {lender}; leave it out for the operator"),
                ));
            }
            let mut requested = Terms {
                scope: new.scope,
                window,
                credentials: Vec::new(),
            };
            let wanted = match caller {
                Caller::Agent { .. } => names(new.cookies, &requested)?,
                Caller::Person { .. } => {
                    self.take_cookies(lender, new.cookies, &mut requested, now)
                        .await?;
                    Vec::new()
                }
            };
            if self.store.delegation_waiting(agent.id).await? >= WAITING {
                return Err(CallError::Limit(format!(
                    "{WAITING} requests of this agent wait for a person already; wait for an answer, or withdraw one by completing it"
                )));
            }
            let delegation = Delegation {
                id: DelegationId::from_uuid(random_uuid_v7()?),
                agent: agent.id,
                lender,
                purpose: new.purpose,
                requested_at: now.wall,
                requested,
                state: State::Requested,
            };
            self.record_request(caller, &delegation, &wanted).await?;
            let stored = self.store.delegation_insert(delegation, wanted).await?;
            self.due.notify_one();
            self.shown(caller, stored).await
        })
        .await
    }

    /// Delegations, newest first; an agent sees its own.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegation_list(
        &self,
        caller: Caller,
        filter: &DelegationFilter,
    ) -> Answer<Vec<DelegationInfo>> {
        self.noted(caller, "delegation list", async {
            let asked = match (&filter.agent, caller) {
                (Some(agent), Caller::Person { .. }) => Some(self.agent_known(agent).await?.id),
                (Some(agent), Caller::Agent { id }) => Some(self.itself(id, agent).await?.id),
                (None, Caller::Person { .. }) => None,
                (None, Caller::Agent { id }) => Some(id),
            };
            let stored = self.store.delegation_list(asked).await?;
            let mut shown = self.delegation_views(caller, stored).await?;
            if let Some(phase) = filter.phase {
                shown.retain(|info| info.phase == phase);
            }
            Ok(shown)
        })
        .await
    }

    /// One delegation; an agent sees its own.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn delegation_show(
        &self,
        caller: Caller,
        id: DelegationId,
    ) -> Answer<DelegationInfo> {
        self.noted(caller, "delegation show", async {
            let stored = self.delegation_of(caller, id).await?;
            self.shown(caller, stored).await
        })
        .await
    }

    /// A delegation, if it exists for this caller.
    pub(super) async fn delegation_of(
        &self,
        caller: Caller,
        id: DelegationId,
    ) -> Answer<StoredDelegation> {
        let found = self.store.delegation_get(id).await?;
        found
            .filter(|stored| may_see(caller, stored.delegation.agent))
            .ok_or_else(|| CallError::not_found("delegation", &id))
    }

    /// The agent that a caller acts for, if it is not disabled: an agent acts
    /// for itself alone.
    pub(super) async fn acting_for(
        &self,
        caller: Caller,
        agent: Option<&AgentRef>,
    ) -> Answer<Agent> {
        let agent = match (caller, agent) {
            (Caller::Agent { id }, None) => self.agent_known(&id.into()).await?,
            (Caller::Agent { id }, Some(agent)) => self.itself(id, agent).await?,
            (Caller::Person { .. }, Some(agent)) => self.agent_known(agent).await?,
            (Caller::Person { .. }, None) => {
                return Err(CallError::invalid("agent", "name the agent by id or name"));
            }
        };
        if agent.disabled_at.is_some() {
            return Err(CallError::Conflict(format!(
                "agent `{}` is disabled for good; add another one",
                agent.name
            )));
        }
        Ok(agent)
    }

    async fn itself(&self, id: AgentId, named: &AgentRef) -> Answer<Agent> {
        let agent = self.agent_known(&id.into()).await?;
        let same = match named {
            AgentRef::Id(named) => *named == id,
            AgentRef::Name(name) => *name == agent.name,
        };
        if same {
            return Ok(agent);
        }
        Err(CallError::Forbidden(
            "an agent acts for itself alone; leave out `agent`",
        ))
    }

    /// Puts the cookies that a person names into the terms.
    async fn take_cookies(
        &self,
        lender: PersonId,
        cookies: Vec<CookieRef>,
        terms: &mut Terms,
        now: Now,
    ) -> Answer<()> {
        for cookie in cookies {
            let found = match cookie {
                CookieRef::Credential {
                    credential,
                    delivery,
                } => vec![LentCredential {
                    credential,
                    delivery,
                }],
                CookieRef::Named(cookie) => {
                    check_named(&cookie, terms)?;
                    let found = self.named(lender, &cookie, now).await?;
                    if found.is_empty() {
                        return Err(missing(&cookie));
                    }
                    found
                }
            };
            for lent in found {
                self.check_lendable(lender, lent.credential, &terms.scope, now.wall)
                    .await?;
                add(&mut terms.credentials, lent)?;
            }
        }
        Ok(())
    }

    /// The lender's credentials of this name that a browser would send there.
    pub(super) async fn named(
        &self,
        lender: PersonId,
        cookie: &NamedCookie,
        now: Now,
    ) -> Answer<Vec<LentCredential>> {
        let credentials = self.store.credential_list(lender).await?.into_iter();
        Ok(credentials
            .filter(|info| {
                info.cookie.name == cookie.name
                    && !info.cleared
                    && ask::is_sent(&info.cookie, &cookie.origin, now.wall)
            })
            .map(|info| LentCredential {
                credential: info.id,
                delivery: cookie.delivery,
            })
            .collect())
    }

    async fn record_request(
        &self,
        caller: Caller,
        delegation: &Delegation,
        wanted: &[NamedCookie],
    ) -> Answer<()> {
        let event = Event::DelegationRequested {
            delegation: delegation.id,
            agent: delegation.agent,
            lender: delegation.lender,
            purpose: delegation.purpose.clone(),
            requested: delegation.requested.clone(),
        };
        self.ledger
            .record(delegation.requested_at, caller.into(), event)
            .await?;
        for cookie in wanted {
            let detail = format!("`{}` at {}", cookie.name, cookie.origin);
            self.registry(caller, "delegation-wants", &delegation.id, &detail)
                .await?;
        }
        Ok(())
    }
}

// What the lender has is not looked up for an agent: it would learn of it.
fn names(cookies: Vec<CookieRef>, terms: &Terms) -> Answer<Vec<NamedCookie>> {
    let mut wanted: Vec<NamedCookie> = Vec::with_capacity(cookies.len());
    for cookie in cookies {
        let CookieRef::Named(cookie) = cookie else {
            return Err(CallError::invalid(
                "cookies",
                "an agent names a cookie by `name` and `origin`, not by credential",
            ));
        };
        check_named(&cookie, terms)?;
        if !wanted.contains(&cookie) {
            wanted.push(cookie);
        }
    }
    Ok(wanted)
}

fn check_named(cookie: &NamedCookie, terms: &Terms) -> Answer<()> {
    let printable = cookie.name.bytes().all(|b| b.is_ascii_graphic());
    if cookie.name.is_empty() || cookie.name.len() > 256 || !printable {
        return Err(CallError::invalid(
            "cookies",
            "a cookie's name is 1 to 256 ASCII characters without spaces",
        ));
    }
    if !terms.scope.covers_origin(&cookie.origin) {
        return Err(CallError::invalid(
            "cookies",
            format!(
                "`{}` is wanted at {}, which the scope does not cover; add the origin to `scope.origins`, or leave the cookie out",
                cookie.name, cookie.origin
            ),
        ));
    }
    Ok(())
}

/// Adds one more to what is lent; twice the same is one, two ways of delivery
/// are a mistake.
pub(super) fn add(lent: &mut Vec<LentCredential>, one: LentCredential) -> Answer<()> {
    match lent.iter().find(|known| known.credential == one.credential) {
        None => {
            lent.push(one);
            Ok(())
        }
        Some(known) if *known == one => Ok(()),
        Some(_) => Err(CallError::invalid(
            "cookies",
            format!(
                "{} is named with two deliveries; choose one",
                one.credential
            ),
        )),
    }
}

/// Says that the lender has no such cookie, and what to do.
pub(super) fn missing(cookie: &NamedCookie) -> CallError {
    CallError::invalid(
        "cookies",
        format!(
            "the lender has no credential `{}` that a browser would send to {}; import it, or leave it out",
            cookie.name, cookie.origin
        ),
    )
}

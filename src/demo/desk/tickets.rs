//! What lies on the desk.

/// One ticket. All of its text is made up here; none comes from a visitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ticket {
    /// Number.
    pub id: u32,
    /// One line.
    pub summary: &'static str,
    /// The rest.
    pub detail: &'static str,
    /// Who asked, by role.
    pub from: &'static str,
    /// Where it stands.
    pub state: TicketState,
}

/// Where a ticket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TicketState {
    /// Somebody must look at it.
    Open,
    /// Waits for an answer.
    Waiting,
    /// Over.
    Done,
}

// === impl TicketState ===

impl TicketState {
    /// All, in the order of a ticket's life.
    pub const ALL: [Self; 3] = [Self::Open, Self::Waiting, Self::Done];

    /// As written in forms and pages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Waiting => "waiting",
            Self::Done => "done",
        }
    }

    /// What a form says.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

pub(super) fn of_today() -> Vec<Ticket> {
    use TicketState::{Done, Open, Waiting};
    [
        (
            "Badge reader at gate 3 is slow",
            "Takes about five seconds to turn green since the update last night. \
             A queue forms at the start of the shift.",
            "Gatekeeper",
            Open,
        ),
        (
            "Printer on floor 2 asks for toner",
            "Labels for the afternoon truck are still to be printed.",
            "Shipping clerk",
            Open,
        ),
        (
            "New laptop for the night shift",
            "Ordered; delivery is announced for Thursday.",
            "Shift supervisor",
            Waiting,
        ),
        (
            "Cold store alarm rings twice",
            "Second bell is an echo of the test line. Waiting for the electrician's report.",
            "Warehouse keeper",
            Waiting,
        ),
        (
            "Shared calendar shows last year",
            "Time zone of the meeting room was wrong; corrected and checked.",
            "Receptionist",
            Done,
        ),
    ]
    .into_iter()
    .zip(4711..)
    .map(|((summary, detail, from, state), id)| Ticket {
        id,
        summary,
        detail,
        from,
        state,
    })
    .collect()
}

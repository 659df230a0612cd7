//! The desk's pages. Nothing that a visitor sent is ever in one, so nothing
//! needs escaping; keep it so.

use super::tickets::{Ticket, TicketState};

pub(super) fn login(refused: bool) -> String {
    let complaint = if refused {
        r#"<p class="complaint" role="alert">That name and password do not belong together.</p>"#
    } else {
        ""
    };
    frame(
        "Sign in",
        "",
        &format!(
            r#"<form class="card narrow" method="post" action="/login">
<h1>Sign in</h1>
{complaint}
<label for="username">Name</label>
<input id="username" name="username" autocomplete="username" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<button>Sign in</button>
</form>"#
        ),
    )
}

pub(super) fn list(tickets: &[Ticket]) -> String {
    let open = tickets
        .iter()
        .filter(|ticket| ticket.state == TicketState::Open)
        .count();
    let rows: String = tickets.iter().map(row).collect();
    inside(
        "Tickets",
        &format!(
            r#"<header class="title"><h1>Tickets</h1><p>{open} open of {all}</p></header>
<table class="card">
<thead><tr><th scope="col">No.</th><th scope="col">What</th><th class="from" scope="col">From</th><th scope="col">State</th></tr></thead>
<tbody>
{rows}</tbody>
</table>"#,
            all = tickets.len(),
        ),
    )
}

pub(super) fn detail(ticket: &Ticket) -> String {
    let choices: String = TicketState::ALL
        .into_iter()
        .map(|state| choice(state, ticket.state))
        .collect();
    let Ticket {
        id,
        summary,
        detail,
        from,
        state,
    } = ticket;
    inside(
        summary,
        &format!(
            r#"<p class="back"><a href="/tickets">All tickets</a></p>
<article class="card padded">
<p class="number">Ticket {id}</p>
<h1>{summary}</h1>
<dl><dt>From</dt><dd>{from}</dd><dt>State</dt><dd id="state">{badge}</dd></dl>
<p>{detail}</p>
<form class="inline" method="post" action="/tickets/{id}">
<label for="new-state">Move to</label>
<select id="new-state" name="state">{choices}</select>
<button>Save</button>
</form>
</article>"#,
            badge = badge(*state),
        ),
    )
}

pub(super) fn missing() -> String {
    inside(
        "No such ticket",
        r#"<div class="card padded"><h1>No such ticket</h1><p><a href="/tickets">All tickets</a></p></div>"#,
    )
}

fn row(ticket: &Ticket) -> String {
    let Ticket {
        id,
        summary,
        from,
        state,
        ..
    } = ticket;
    let badge = badge(*state);
    format!(
        "<tr><td class=\"number\">{id}</td><td><a href=\"/tickets/{id}\">{summary}</a></td>\
         <td class=\"from\">{from}</td><td>{badge}</td></tr>\n"
    )
}

fn badge(state: TicketState) -> String {
    let state = state.as_str();
    format!(r#"<span class="badge {state}">{state}</span>"#)
}

fn choice(state: TicketState, now: TicketState) -> String {
    let selected = if state == now { " selected" } else { "" };
    let state = state.as_str();
    format!("<option{selected}>{state}</option>")
}

fn inside(title: &str, content: &str) -> String {
    let visitor = r#"<form class="visitor" method="post" action="/logout"><span id="who">Dispatcher</span><button class="quiet">Sign out</button></form>"#;
    frame(title, visitor, content)
}

fn frame(title: &str, visitor: &str, content: &str) -> String {
    format!(
        r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} · Service desk</title>
<link rel="stylesheet" href="/desk.css">
<link rel="icon" href="data:,">
</head>
<body>
<nav><a class="brand" href="/tickets">Service desk</a>{visitor}</nav>
<main>
{content}
</main>
<footer>A made-up site of <code>hallpass demo</code>; it runs on this machine alone.</footer>
</body>
</html>
"#
    )
}

//! A made-up service desk with a real sign-in: what a person lends in the
//! demonstration, so that it needs no account anywhere.
//!
//! ```text
//! GET  /login              the form            POST /login    signs in
//! GET  /tickets            the list            POST /logout   signs out
//! GET  /tickets/{id}       one ticket          POST /tickets/{id}   state=…
//! GET  /whoami             {"signed_in_as": …}
//! ```
//! Whoever is not signed in is sent to the form. A session is a random id in a
//! cookie that scripts cannot read.

mod pages;
mod signed_in;
mod tickets;

use std::{
    collections::HashSet,
    io,
    net::Ipv4Addr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use cookie::Cookie;
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;
use url::form_urlencoded;

pub use self::{
    signed_in::{SignInError, SignedIn},
    tickets::{Ticket, TicketState},
};
use crate::model::secret::Secret;

/// Name of the session cookie.
pub const SESSION_COOKIE: &str = "desk_session";
/// The account, and whom the pages greet.
pub const USERNAME: &str = "dispatcher";

/// A running desk on a free loopback port; ends with the value.
#[derive(Debug)]
pub struct Desk {
    /// `http://127.0.0.1:PORT`.
    pub origin: String,
    /// The account's password, made at start.
    pub password: Secret,
    rooms: Arc<Rooms>,
    _serving: AbortOnDropHandle<io::Result<()>>,
}

#[derive(Debug)]
struct Rooms {
    password: Secret,
    sessions: Mutex<HashSet<String>>,
    tickets: Mutex<Vec<Ticket>>,
}

impl Desk {
    /// Starts it; must be called within a tokio runtime.
    ///
    /// # Errors
    /// No loopback port can be bound, or the system gives no randomness.
    pub async fn start() -> io::Result<Self> {
        let password = Secret::new(random()?);
        let rooms = Arc::new(Rooms {
            password: password.clone(),
            sessions: Mutex::default(),
            tickets: Mutex::new(tickets::of_today()),
        });
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let origin = format!("http://{}", listener.local_addr()?);
        let app = router(Arc::clone(&rooms));
        let serving = tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self {
            origin,
            password,
            rooms,
            _serving: AbortOnDropHandle::new(serving),
        })
    }

    /// Signs in as the person does, by posting the form.
    ///
    /// # Errors
    /// The desk does not answer, or not with a session.
    pub async fn login(&self) -> Result<SignedIn, SignInError> {
        SignedIn::by_form(&self.origin, USERNAME, &self.password).await
    }

    /// The tickets as they are now.
    #[must_use]
    pub fn tickets(&self) -> Vec<Ticket> {
        self.rooms.tickets().clone()
    }
}

fn router(rooms: Arc<Rooms>) -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::to("/tickets") }))
        .route("/login", get(login_form).post(login))
        .route("/logout", post(logout))
        .route("/tickets", get(list))
        .route("/tickets/{id}", get(detail).post(change))
        .route("/whoami", get(whoami))
        .route("/desk.css", get(stylesheet))
        .with_state(rooms)
}

async fn login_form() -> Response {
    page(pages::login(false))
}

async fn login(State(rooms): State<Arc<Rooms>>, body: Bytes) -> Response {
    let field = |name: &str| form_field(&body, name).unwrap_or_default();
    if field("username") != USERNAME || Secret::new(field("password")) != rooms.password {
        return (StatusCode::FORBIDDEN, page(pages::login(true))).into_response();
    }
    let Ok(id) = random() else {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    };
    let cookie = format!("{SESSION_COOKIE}={id}; Path=/; HttpOnly; SameSite=Lax");
    rooms.sessions().insert(id);
    ([(header::SET_COOKIE, cookie)], Redirect::to("/tickets")).into_response()
}

async fn logout(State(rooms): State<Arc<Rooms>>, headers: HeaderMap) -> Response {
    if let Some(id) = session_id(&headers) {
        rooms.sessions().remove(&id);
    }
    let gone = format!("{SESSION_COOKIE}=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
    ([(header::SET_COOKIE, gone)], Redirect::to("/login")).into_response()
}

async fn list(State(rooms): State<Arc<Rooms>>, headers: HeaderMap) -> Response {
    if !rooms.knows(&headers) {
        return to_login();
    }
    page(pages::list(&rooms.tickets()))
}

async fn detail(
    State(rooms): State<Arc<Rooms>>,
    Path(id): Path<u32>,
    headers: HeaderMap,
) -> Response {
    if !rooms.knows(&headers) {
        return to_login();
    }
    match rooms.tickets().iter().find(|ticket| ticket.id == id) {
        Some(ticket) => page(pages::detail(ticket)),
        None => (StatusCode::NOT_FOUND, page(pages::missing())).into_response(),
    }
}

async fn change(
    State(rooms): State<Arc<Rooms>>,
    Path(id): Path<u32>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if !rooms.knows(&headers) {
        return to_login();
    }
    let asked = form_field(&body, "state").and_then(|state| TicketState::parse(&state));
    let Some(state) = asked else {
        return (StatusCode::BAD_REQUEST, "`state` is open, waiting or done").into_response();
    };
    match rooms.tickets().iter_mut().find(|ticket| ticket.id == id) {
        Some(ticket) => ticket.state = state,
        None => return (StatusCode::NOT_FOUND, page(pages::missing())).into_response(),
    }
    Redirect::to(&format!("/tickets/{id}")).into_response()
}

async fn whoami(State(rooms): State<Arc<Rooms>>, headers: HeaderMap) -> Response {
    let who = rooms.knows(&headers).then_some(USERNAME);
    Json(serde_json::json!({ "signed_in_as": who })).into_response()
}

async fn stylesheet() -> Response {
    let media = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (media, include_str!("desk/desk.css")).into_response()
}

// === impl Rooms ===

impl Rooms {
    fn knows(&self, headers: &HeaderMap) -> bool {
        session_id(headers).is_some_and(|id| self.sessions().contains(&id))
    }

    fn sessions(&self) -> MutexGuard<'_, HashSet<String>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tickets(&self) -> MutexGuard<'_, Vec<Ticket>> {
        self.tickets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// Pages depend on who asks: a cache would show them to somebody else.
fn page(html: String) -> Response {
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        ),
    ];
    (headers, Html(html)).into_response()
}

fn to_login() -> Response {
    Redirect::to("/login").into_response()
}

fn session_id(headers: &HeaderMap) -> Option<String> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| Cookie::split_parse(line.to_owned()))
        .flatten()
        .find(|cookie| cookie.name() == SESSION_COOKIE)
        .map(|cookie| cookie.value().to_owned())
}

fn form_field(body: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(body)
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.into_owned())
}

fn random() -> io::Result<String> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(data_encoding::BASE64URL_NOPAD.encode(&bytes))
}

#[cfg(test)]
mod tests;

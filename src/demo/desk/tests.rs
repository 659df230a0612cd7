use reqwest::{Client, RequestBuilder, Response, redirect};

use super::*;

fn client() -> Client {
    Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .build()
        .unwrap()
}

async fn send(request: RequestBuilder, session: Option<&str>) -> Response {
    let request = match session {
        Some(id) => request.header(header::COOKIE, format!("other=1; {SESSION_COOKIE}={id}")),
        None => request,
    };
    request.send().await.unwrap()
}

fn location(response: &Response) -> &str {
    response.headers()[header::LOCATION].to_str().unwrap()
}

#[tokio::test]
async fn nobody_sees_or_changes_tickets_without_a_session() {
    let desk = Desk::start().await.unwrap();
    let url = |path: &str| format!("{}{path}", desk.origin);
    for session in [None, Some(""), Some("guessed")] {
        for request in [
            client().get(url("/tickets")),
            client().get(url("/tickets/4711")),
            client().post(url("/tickets/4711")).body("state=done"),
        ] {
            let response = send(request, session).await;
            assert_eq!(response.status(), StatusCode::SEE_OTHER);
            assert_eq!(location(&response), "/login");
        }
        let who = send(client().get(url("/whoami")), session).await;
        assert_eq!(who.text().await.unwrap(), r#"{"signed_in_as":null}"#);
    }
    assert_eq!(desk.tickets(), tickets::of_today());
}

#[tokio::test]
async fn a_wrong_name_or_password_gives_no_session() {
    let desk = Desk::start().await.unwrap();
    for (name, password) in [
        (USERNAME, Secret::new("wrong".to_owned())),
        (USERNAME, Secret::new(String::new())),
        ("somebody", desk.password.clone()),
    ] {
        let refused = SignedIn::by_form(&desk.origin, name, &password).await;
        assert!(matches!(
            refused,
            Err(SignInError::Refused(StatusCode::FORBIDDEN))
        ));
    }
}

#[tokio::test]
async fn a_person_signs_in_works_and_signs_out() {
    let desk = Desk::start().await.unwrap();
    let url = |path: &str| format!("{}{path}", desk.origin);
    let signed_in = desk.login().await.unwrap();
    let cookie = Cookie::parse(signed_in.set_cookie.expose()).unwrap();
    assert_eq!(cookie.http_only(), Some(true));
    assert_eq!(cookie.same_site(), Some(cookie::SameSite::Lax));
    let session = Some(signed_in.value.expose());

    let who = send(client().get(url("/whoami")), session).await;
    assert_eq!(
        who.text().await.unwrap(),
        r#"{"signed_in_as":"dispatcher"}"#
    );
    let list = send(client().get(url("/tickets")), session).await;
    assert!(
        list.text()
            .await
            .unwrap()
            .contains("Badge reader at gate 3 is slow")
    );
    let missing = send(client().get(url("/tickets/1")), session).await;
    assert_eq!(missing.status(), StatusCode::NOT_FOUND);

    let bad = client().post(url("/tickets/4711")).body("state=gone");
    assert_eq!(send(bad, session).await.status(), StatusCode::BAD_REQUEST);
    let good = client().post(url("/tickets/4711")).body("state=done");
    assert_eq!(location(&send(good, session).await), "/tickets/4711");
    assert_eq!(desk.tickets()[0].state, TicketState::Done);

    send(client().post(url("/logout")), session).await;
    let after = send(client().get(url("/tickets")), session).await;
    assert_eq!(location(&after), "/login");
}

#[tokio::test]
async fn a_storage_state_holds_the_session_as_a_browser_keeps_it() {
    let desk = Desk::start().await.unwrap();
    let signed_in = desk.login().await.unwrap();
    let state: serde_json::Value = serde_json::from_str(&signed_in.storage_state()).unwrap();
    let cookie = &state["cookies"][0];
    assert_eq!(cookie["name"], SESSION_COOKIE);
    assert_eq!(cookie["value"], signed_in.value.expose());
    assert_eq!(cookie["domain"], "127.0.0.1");
    assert_eq!(cookie["httpOnly"], true);
    assert!(!format!("{signed_in:?}").contains(signed_in.value.expose()));
}

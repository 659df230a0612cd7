//! Messages that cannot be understood get an error that says so; what is no
//! message at all ends its own connection and nothing else.

use std::fs;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async, tungstenite::Message};

use crate::support::{api::Session, broker::Broker, cdp::Cdp};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Sends a text and answers the next thing that is said.
async fn say(socket: &mut Socket, text: &str) -> Value {
    socket.send(Message::text(text)).await.unwrap();
    match socket.next().await.unwrap().unwrap() {
        Message::Text(text) => serde_json::from_str(&text).unwrap(),
        other => panic!("{text}: {other:?}"),
    }
}

async fn session(broker: &Broker, name: &str) -> Session {
    let operator = broker.operator();
    let agent = operator.add_agent(name).await;
    operator.start_session(&agent, &[]).await
}

/// What is said; code, number and words of the error.
const MALFORMED: &[(&str, i32, Option<i64>, &str)] = &[
    ("", -32700, None, "cannot read"),
    ("{", -32700, None, "cannot read"),
    ("nonsense", -32700, None, "cannot read"),
    (
        r#"{"id":1,"method":"Browser.getVersion"} {"id":2}"#,
        -32700,
        None,
        "cannot read",
    ),
    ("\u{feff}{}", -32700, None, "cannot read"),
    ("[]", -32600, None, "expected one object"),
    ("null", -32600, None, "expected one object"),
    (r#"{"method":"Browser.getVersion"}"#, -32600, None, "`id`"),
    (
        r#"{"id":"1","method":"Browser.getVersion"}"#,
        -32600,
        None,
        "expected",
    ),
    (
        r#"{"id":1.5,"method":"Browser.getVersion"}"#,
        -32600,
        None,
        "expected",
    ),
    (
        r#"{"id":99999999999999999999,"method":"Browser.getVersion"}"#,
        -32600,
        None,
        "expected",
    ),
    (r#"{"id":7}"#, -32600, Some(7), "`method`"),
    (r#"{"id":7,"method":5}"#, -32600, Some(7), "expected"),
    (
        r#"{"id":7,"method":"Browser.getVersion","jsonrpc":"2.0"}"#,
        -32600,
        Some(7),
        "jsonrpc",
    ),
    (
        r#"{"id":7,"method":"Browser.close","method":"Browser.getVersion"}"#,
        -32600,
        Some(7),
        "each once",
    ),
    (
        r#"{"id":7,"method":"Browser.close","\u006dethod":"Browser.getVersion"}"#,
        -32600,
        Some(7),
        "each once",
    ),
    (
        r#"{"id":7,"method":"Browser.getVersion","params":[]}"#,
        -32602,
        Some(7),
        "object",
    ),
    (
        r#"{"id":7,"method":"Browser.getVersion","params":{"a":{"b":1,"b":2}}}"#,
        -32602,
        Some(7),
        "`b` stands twice",
    ),
    (
        r#"{"id":7,"method":"Browser.getVersion","sessionId":"nobody's"}"#,
        -32001,
        Some(7),
        "Session",
    ),
    (
        r#"{"id":7,"method":"Browser.noSuchThing"}"#,
        -32601,
        Some(7),
        "noSuchThing",
    ),
    (
        r#"{"id":7,"method":"browser.getversion"}"#,
        -32601,
        Some(7),
        "wasn't found",
    ),
    (r#"{"id":7,"method":""}"#, -32601, Some(7), "wasn't found"),
];

#[tokio::test]
async fn what_cannot_be_understood_is_answered_and_the_connection_goes_on() {
    let broker = Broker::start("[cell]\nwarm = 0");
    let session = session(&broker, "one").await;
    let cdp = Cdp::connect(&session.cdp_url).await;
    let page = cdp.open("about:blank").await;
    let (mut socket, _) = connect_async(&session.cdp_url).await.unwrap();
    let deep = format!(
        r#"{{"id":1,"method":"Browser.getVersion","params":{{"a":{}1{}}}}}"#,
        "[".repeat(5000),
        "]".repeat(5000)
    );
    let nested = (&*deep, -32602, Some(1), "nested");
    for (text, code, id, words) in MALFORMED.iter().copied().chain([nested]) {
        let shown: String = text.chars().take(80).collect();
        let told = say(&mut socket, text).await;
        assert_eq!(told["error"]["code"], code, "{shown}: {told}");
        assert_eq!(told["id"].as_i64(), id, "{shown}: {told}");
        let message = told["error"]["message"].as_str().unwrap();
        assert!(message.contains(words), "{shown}: {message}");
        let next = say(&mut socket, r#"{"id":8,"method":"Browser.getVersion"}"#).await;
        assert!(
            next["result"]["product"].is_string(),
            "after {shown}: {next}"
        );
    }
    // What another connection is attached to is not this one's to speak to.
    let theirs = format!(
        r#"{{"id":9,"method":"Runtime.evaluate","params":{{"expression":"1"}},"sessionId":"{}"}}"#,
        page.session
    );
    let told = say(&mut socket, &theirs).await;
    assert_eq!(told["error"]["code"], -32001, "{told}");
    // What is passed on to a page as it came is read as strictly.
    for params in [
        r#"{"expression":"1","expression":"document.title='taken'"}"#,
        r#"{"expression":"1","\u0065xpression":"document.title='taken'"}"#,
    ] {
        let error = raw(&page.cdp, &page.session, "Runtime.evaluate", params).await;
        assert_eq!(error["code"], -32602, "{params}: {error}");
    }
    assert_eq!(page.evaluate("document.title").await, "");
    broker.operator().end_session(&session).await;
}

/// The error that a command with these arguments, word for word, is answered with.
async fn raw(cdp: &Cdp, session: &str, method: &str, params: &str) -> Value {
    let text =
        format!(r#"{{"id":4242,"method":"{method}","params":{params},"sessionId":"{session}"}}"#);
    cdp.say(text, 4242).await["error"].take()
}

#[tokio::test]
async fn binary_messages_end_their_own_connection_with_the_reason() {
    let broker = Broker::start("[cell]\nwarm = 0");
    let session = session(&broker, "one").await;
    let stays = Cdp::connect(&session.cdp_url).await;
    let (mut socket, _) = connect_async(&session.cdp_url).await.unwrap();
    socket
        .send(Message::binary(
            &br#"{"id":1,"method":"Browser.getVersion"}"#[..],
        ))
        .await
        .unwrap();
    let Message::Close(Some(frame)) = socket.next().await.unwrap().unwrap() else {
        panic!("not closed");
    };
    assert!(frame.reason.contains("JSON text"), "{}", frame.reason);
    stays.ask("Browser.getVersion", json!({})).await;
}

/// Header of a masked frame whose mask changes nothing.
fn frame(first: u8, length: u64) -> Vec<u8> {
    let mut header = vec![first, 0x80 | 127];
    header.extend(length.to_be_bytes());
    header.extend([0; 4]);
    header
}

/// Waits for a close frame and answers its code and reason.
async fn close_reason(stream: &mut (impl tokio::io::AsyncRead + Unpin)) -> (u16, String) {
    let mut head = [0; 2];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[0], 0x88, "no close frame");
    let mut body = vec![0; usize::from(head[1])];
    stream.read_exact(&mut body).await.unwrap();
    let code = u16::from_be_bytes([body[0], body[1]]);
    (code, String::from_utf8(body[2..].to_vec()).unwrap())
}

fn peak_memory(broker: &Broker) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", broker.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.unwrap().trim().split(' ').next().unwrap();
    kibibytes.parse::<u64>().unwrap() << 10
}

#[tokio::test]
async fn binary_messages_end_their_own_connection() {
    let broker = Broker::start("[cell]\nwarm = 0");
    let session = session(&broker, "one").await;
    let stays = Cdp::connect(&session.cdp_url).await;
    let (mut socket, _) = connect_async(&session.cdp_url).await.unwrap();
    let asks = r#"{"id":1,"method":"Browser.getVersion"}"#;
    socket.send(Message::binary(asks)).await.unwrap();
    let Message::Close(Some(frame)) = socket.next().await.unwrap().unwrap() else {
        panic!("it was taken");
    };
    assert_eq!(u16::from(frame.code), 1003, "{frame}");
    assert!(frame.reason.contains("JSON text"), "{frame}");
    stays.ask("Browser.getVersion", json!({})).await;
}

#[tokio::test]
async fn a_message_of_300_mb_ends_its_own_connection_and_costs_nobody_else() {
    const WHOLE: u64 = 300 << 20;
    const PART: usize = 4 << 20;
    let broker = Broker::start("[cell]\nwarm = 0");
    let session = session(&broker, "one").await;
    let stays = Cdp::connect(&session.cdp_url).await;
    let before = peak_memory(&broker);

    // As one frame: its length alone is too much.
    let (socket, _) = connect_async(&session.cdp_url).await.unwrap();
    let MaybeTlsStream::Plain(mut stream) = socket.into_inner() else {
        panic!("not TCP");
    };
    stream.write_all(&frame(0x81, WHOLE)).await.unwrap();
    let (code, reason) = close_reason(&mut stream).await;
    assert_eq!(code, 1009, "{reason}");
    assert!(reason.contains("at most"), "{reason}");
    assert!(peak_memory(&broker) < before + (64 << 20));

    // In parts: what came so far is thrown away when it becomes too much.
    let (socket, _) = connect_async(&session.cdp_url).await.unwrap();
    let MaybeTlsStream::Plain(stream) = socket.into_inner() else {
        panic!("not TCP");
    };
    let (mut input, mut output) = stream.into_split();
    let sending = tokio::spawn(async move {
        let part = vec![b' '; PART];
        for number in 0..WHOLE / PART as u64 {
            // The first frame is text, the others go on with it.
            let first = u8::from(number == 0);
            output.write_all(&frame(first, PART as u64)).await?;
            output.write_all(&part).await?;
        }
        std::io::Result::Ok(output)
    });
    let (code, reason) = close_reason(&mut input).await;
    assert_eq!(code, 1009, "{reason}");
    assert!(reason.contains("at most"), "{reason}");
    drop(input);
    assert!(sending.await.unwrap().is_err(), "all of it was taken");
    assert!(peak_memory(&broker) < before + (256 << 20));
    stays.ask("Browser.getVersion", json!({})).await;
    Cdp::connect(&session.cdp_url)
        .await
        .ask("Browser.getVersion", json!({}))
        .await;
}
